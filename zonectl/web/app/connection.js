/**
 * The media's connection of a session, over all RTCPeerConnections that carry it in turn. A new one is made beside the present one, whose pictures
 * and sound stay until the new one has some. It asks for one when nothing comes any more, and when a better way opens again.
 */

import { Climb } from './climb.js';
import { Journal } from './journal.js';
import { Peer } from './peer.js';
import { Recovery } from './recovery.js';
import { iceServers } from './relays.js';
import { Meter } from './stats.js';
import { Vigil } from './vigil.js';

/** @typedef {import('./protocol.js').Medium} Medium */

/**
 * @typedef {object} ConnectionEvents
 * @property {() => import('./peer.js').Tracks} tracks what is sent at present
 * @property {(fresh: boolean) => boolean} negotiate asks the box for an offer; false when the control channel is down
 * @property {(slots: Map<string, RTCRtpReceiver>) => void} slots the receive slots are other ones now
 * @property {(state: 'connecting'|'connected'|'disconnected'|'failed') => void} state
 * @property {() => void} silent nothing comes any more
 */

export class Connection {
  #events;
  /** @type {Peer|null} */
  #peer = null;
  /** The one before, until the present one is connected. @type {Peer|null} */
  #former = null;
  /** @type {Meter|null} */
  #meter = null;
  #recovery;
  #climb;
  /** @type {Journal|null} */
  #journal = null;
  #vigil = new Vigil(
    () => this.#silent(),
    (all) => this.#journal?.note(all),
  );

  /** @param {ConnectionEvents} events */
  constructor(events) {
    this.#events = events;
    this.#recovery = new Recovery(events.negotiate);
    this.#climb = new Climb(() => events.negotiate(true));
  }

  /** Whether media flow, as far as is known. */
  get alive() {
    return (this.#peer?.connected ?? false) && !this.#vigil.dead;
  }

  /**
   * Takes an offer and returns the answer.
   * @param {{fresh: boolean, sdp: string, relays?: import('./protocol.js').Relay[]}} offer
   */
  async answer({ fresh, sdp, relays }) {
    if (fresh || !this.#peer) this.#replace(relays ?? []);
    this.#recovery.started();
    return /** @type {Peer} */ (this.#peer).accept(sdp);
  }

  /** @param {Medium} medium @param {MediaStreamTrack|null} track */
  async setTrack(medium, track) {
    await this.#peer?.setTrack(medium, track);
  }

  /** @param {any[]} media in which codec the box wants a medium */
  setCodecs(media) {
    void this.#peer?.setCodecs(media);
  }

  /** @param {any[]} media which encodings somebody looks at */
  setNeeded(media) {
    void this.#peer?.setNeeded(media);
  }

  /** @param {import('./protocol.js').Ceiling[]} ceilings of which encodings there is no use for more */
  setCeilings(ceilings) {
    void this.#peer?.setCeilings(ceilings);
  }

  /** The box knows nothing of us any more, and so nothing of what it asked: the next connection begins anew. */
  forget() {
    this.#peer?.forget();
  }

  /** The control channel is back. */
  resumed() {
    this.#recovery.resumed(this.alive);
  }

  /**
   * What the browser measures, and the report of it; null without a connection.
   * @param {Parameters<Meter['sample']>[0]} moving
   */
  async sample(moving) {
    const meter = this.#meter;
    if (!meter) return null;
    const journal = this.#journal;
    const { stats, raw } = await meter.sample(moving);
    const told = stats.map((one) => ({ ...one, tried: journal?.of(one.transport) ?? [] }));
    return { stats: told, raw, report: () => meter.report(stats) };
  }

  /**
   * What the box says of the transports, now and then.
   * @param {import('./protocol.js').TransportState[]} transports
   * @param {string} controller its base URL
   */
  stands(transports, controller) {
    const standing = transports.filter((one) => one.state === 'connected');
    this.#climb.sampled(standing.map((one) => one.rung ?? ''), controller);
  }

  /** What the box no longer hears, or has given up, as after a long sleep. @param {import('./protocol.js').TransportState[]} transports */
  heard(transports) {
    if (this.#peer?.connected && transports.some((one) => one.state === 'lost')) this.#vigil.lost();
    const media = transports.filter((one) => one.silent).map((one) => one.medium);
    if (media.length > 0) this.#vigil.unheard(media);
  }

  /** Forgets everything; the session begins anew. */
  drop() {
    this.#vigil.watch(null);
    this.#former?.close();
    this.#peer?.close();
    this.#former = this.#peer = this.#meter = null;
  }

  close() {
    this.#recovery.close();
    this.#vigil.close();
    this.#climb.close();
    this.drop();
  }

  /** @param {import('./protocol.js').Relay[]} relays */
  #replace(relays) {
    this.#former?.close();
    this.#former = this.#peer;
    /** @type {Map<string, RTCRtpReceiver>|null} */
    let waiting = null;
    const peer = new Peer(
      this.#events.tracks(),
      this.#former,
      {
        slots: (slots) => {
          if (this.#former) waiting = slots;
          else this.#events.slots(slots);
        },
        state: (state) => {
          if (peer !== this.#peer) return;
          if (state === 'connected' && this.#former) {
            this.#former.close();
            this.#former = null;
            if (waiting) this.#events.slots(waiting);
          }
          this.#changed(state);
        },
      },
      iceServers(relays),
    );
    this.#peer = peer;
    this.#meter = new Meter(peer.connection);
    this.#journal = new Journal(peer.connection);
    this.#vigil.watch(peer.connection);
  }

  /** @param {'connecting'|'connected'|'disconnected'|'failed'} state */
  #changed(state) {
    // While the connection before still works, that a new one is being made is nobody's concern.
    if (state !== 'connecting' || !this.#former?.connected) this.#events.state(state);
    this.#recovery.changed(state);
  }

  #silent() {
    this.#recovery.silent();
    this.#events.silent();
  }
}
