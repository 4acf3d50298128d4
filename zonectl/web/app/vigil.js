/**
 * Notices that a path is dead by its silence. The box lets no connected transport be quiet for more than 0.3 s, so that nothing for longer than
 * SILENT_MS means that nothing comes through; browsers themselves take seconds to say so. An outage shorter than a second changes nothing.
 */

const LOOK_MS = 250;
const SILENT_MS = 1300;
/**
 * How many bytes a medium must have sent in each half of the last looks for its way to be dead when the box calls it silent: more than reports and checks alone, and
 * not only since the box can have heard of it.
 */
const SPOKEN_LOOKS = 4;
const SPOKEN_BYTES = 300;
/** Looks that are further apart mean that the machine slept. For a moment after it woke up, a shorter silence is one: the network may have forgotten everything. */
const SLEPT_MS = 3000;
const WOKEN_MS = 450;
const AWAKE_MS = 3000;
/** A look adds no more than this to a silence: when it comes late, the page slept, or the machine did, and the path is not to blame. */
const MOST_MS = 2 * LOOK_MS;

export class Vigil {
  #silent;
  #seen;
  /** @type {RTCPeerConnection|null} */
  #pc = null;
  /** @type {Map<string, {bytes: number, quiet: number}>} quiet in ms */
  #marks = new Map();
  /** How many bytes each medium had sent at the last looks, the newest first. @type {Map<string, number[]>} */
  #spoken = new Map();
  #timer;
  #looked = 0;
  #woke = -Infinity;
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
    this.#spoken.clear();
    this.#looked = performance.now();
    this.#told = false;
  }

  /**
   * The box hears nothing any more of these media, of which much came before. Where this page has sent something meanwhile, the way to the box is dead,
   * though everything comes from it.
   * @param {string[]} media
   */
  unheard(media) {
    if (!this.#pc || this.#told) return;
    const lost = media.some((medium) => {
      const marks = this.#spoken.get(medium) ?? [];
      if (marks.length <= SPOKEN_LOOKS) return false;
      const middle = marks[SPOKEN_LOOKS / 2];
      return marks[0] - middle > SPOKEN_BYTES && middle - marks[SPOKEN_LOOKS] > SPOKEN_BYTES;
    });
    if (lost) this.lost();
  }

  /** The connection is known to be dead. */
  lost() {
    if (!this.#pc || this.#told) return;
    this.#told = true;
    this.#silent();
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
      for (const [medium, bytes] of sent(all)) this.#spoken.set(medium, [bytes, ...(this.#spoken.get(medium) ?? [])].slice(0, SPOKEN_LOOKS + 1));
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
    let passed = Math.min(now - this.#looked, MOST_MS);
    if (now - this.#looked > SLEPT_MS) {
      this.#woke = now;
      passed = 0;
    }
    this.#looked = now;
    const most = now - this.#woke < AWAKE_MS ? WOKEN_MS : SILENT_MS;
    let quiet = false;
    for (const [id, bytes] of heard) {
      const mark = this.#marks.get(id);
      if (mark?.bytes !== bytes) {
        this.#marks.set(id, { bytes, quiet: 0 });
        continue;
      }
      mark.quiet = this.#woke === now ? 0 : mark.quiet + passed;
      quiet ||= mark.quiet > most;
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

/**
 * How many bytes went over the transport of each medium. Firefox counts them by stream only, so that of a medium that is only received it does not know.
 * @param {any[]} all statistics
 * @returns {Map<string, number>}
 */
function sent(all) {
  const transports = new Map(all.filter((one) => one.type === 'transport').map((one) => [one.id, one]));
  /** @type {Map<string, number>} */
  const streams = new Map();
  /** @type {Map<string, number>} */
  const whole = new Map();
  for (const one of all) {
    if (!/^(in|out)bound-rtp$/.test(one.type) || typeof one.mid !== 'string') continue;
    const medium = /^[a-z]*/.exec(one.mid)?.[0] ?? '';
    streams.set(medium, (streams.get(medium) ?? 0) + (one.type === 'outbound-rtp' ? one.bytesSent ?? 0 : 0));
    whole.set(medium, transports.get(one.transportId)?.bytesSent ?? 0);
  }
  return new Map([...streams].map(([medium, bytes]) => [medium, whole.get(medium) || bytes]));
}
