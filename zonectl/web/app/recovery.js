/**
 * When the media's path dies: ask for a new RTCPeerConnection at once when it is known to be silent (vigil.js), for an ICE restart when it is only
 * said to be disconnected, for a new connection when that did not help in time, and for more of them at growing intervals. Neither browser leaves a dead path by itself, and a new connection is faster than a restart that waits.
 */

const RESTART_MS = 3000;
const FIRST_CONNECT_MS = 9000;
const FRESH_MS = 6000;
const LONGEST_MS = 30000;

export class Recovery {
  #negotiate;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  #tries = 0;
  #everConnected = false;
  #open = true;

  /** @param {(fresh: boolean) => boolean} negotiate asks the box for an offer; false when the control channel is down */
  constructor(negotiate) {
    this.#negotiate = negotiate;
  }

  /** An offer is being answered. */
  started() {
    if (this.#timer === undefined) this.#arm(this.#everConnected ? FRESH_MS : FIRST_CONNECT_MS);
  }

  /** @param {'connecting'|'connected'|'disconnected'|'failed'} state */
  changed(state) {
    if (state === 'connected') {
      this.#everConnected = true;
      this.#tries = 0;
      this.#disarm();
    } else if (state === 'disconnected' || state === 'failed') {
      if (this.#tries === 0) {
        this.#tries = 1;
        this.#negotiate(state === 'failed');
        this.#arm(state === 'failed' ? FRESH_MS : RESTART_MS);
      } else if (this.#timer === undefined) {
        this.#arm(RESTART_MS);
      }
    }
  }

  /** Nothing comes any more, whatever the browser says of the connection: there is nothing to wait for. */
  silent() {
    this.#tries = 0;
    this.#fresh();
  }

  /** The control channel is back; the media may have died while nothing could be asked for. @param {boolean} connected */
  resumed(connected) {
    if (connected) return;
    this.#disarm();
    this.#fresh();
  }

  close() {
    this.#open = false;
    this.#disarm();
  }

  /** @param {number} wait */
  #arm(wait) {
    clearTimeout(this.#timer);
    if (!this.#open) return;
    this.#timer = setTimeout(() => this.#fresh(), wait);
  }

  #disarm() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #fresh() {
    this.#tries++;
    this.#negotiate(true);
    this.#arm(Math.min(LONGEST_MS, FRESH_MS * 1.5 ** (this.#tries - 1)));
  }
}
