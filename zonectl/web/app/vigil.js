/**
 * Notices that a path is dead by its silence. The box lets no connected transport be quiet for more than 0.3 s, so that nothing for longer than
 * SILENT_MS means that nothing comes through; browsers themselves take seconds to say so. An outage shorter than a second changes nothing.
 */

const LOOK_MS = 250;
const SILENT_MS = 1300;
/** A look adds no more than this to a silence: when it comes late, the page slept, or the machine did, and the path is not to blame. */
const MOST_MS = 2 * LOOK_MS;

export class Vigil {
  #silent;
  #seen;
  /** @type {RTCPeerConnection|null} */
  #pc = null;
  /** @type {Map<string, {bytes: number, quiet: number}>} quiet in ms */
  #marks = new Map();
  #timer;
  #looked = 0;
  #busy = false;
  #told = false;

  /**
   * @param {() => void} silent nothing comes over a transport any more; called once for each connection
   * @param {(all: any[]) => void} seen takes the statistics of every look
   */
  constructor(silent, seen) {
    this.#silent = silent;
    this.#seen = seen;
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  /** Watches another connection from now on. @param {RTCPeerConnection|null} pc */
  watch(pc) {
    this.#pc = pc;
    this.#marks.clear();
    this.#told = false;
  }

  /** Whether the connection is known to be dead. */
  get dead() {
    return this.#told;
  }

  close() {
    clearInterval(this.#timer);
    this.#pc = null;
  }

  async #look() {
    const pc = this.#pc;
    if (!pc || pc.connectionState === 'closed' || this.#busy || this.#told) return;
    this.#busy = true;
    try {
      const all = [...(await pc.getStats()).values()];
      if (pc !== this.#pc) return;
      this.#seen(all);
      if (this.#quiet(received(all))) {
        this.#told = true;
        this.#silent();
      }
    } finally {
      this.#busy = false;
    }
  }

  /** @param {Map<string, number>} heard */
  #quiet(heard) {
    const now = performance.now();
    const passed = Math.min(now - this.#looked, MOST_MS);
    this.#looked = now;
    let quiet = false;
    for (const [id, bytes] of heard) {
      const mark = this.#marks.get(id);
      if (mark?.bytes !== bytes) {
        this.#marks.set(id, { bytes, quiet: 0 });
        continue;
      }
      mark.quiet += passed;
      quiet ||= mark.quiet > SILENT_MS;
    }
    return quiet;
  }
}

/**
 * How many bytes came over each transport that works: Firefox has no statistics of transports, but of the pairs that are in use.
 * @param {any[]} all statistics
 * @returns {Map<string, number>}
 */
export function received(all) {
  const transports = all.filter((one) => one.type === 'transport' && one.dtlsState === 'connected' && one.bytesReceived > 0);
  const pairs = all.filter((one) => one.type === 'candidate-pair' && one.selected && one.bytesReceived > 0);
  return new Map((transports.length > 0 ? transports : pairs).map((one) => [one.id, one.bytesReceived]));
}
