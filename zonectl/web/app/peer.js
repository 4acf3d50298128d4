/**
 * One RTCPeerConnection with the box. The box alone offers: three BUNDLE groups, hence three transports. A mid that ends in "-up" is what this
 * client sends, every other mid is a receive slot.
 */

import { MEDIA } from './protocol.js';

/** @typedef {import('./protocol.js').Medium} Medium */
/** @typedef {Partial<Record<Medium, MediaStreamTrack|null>>} Tracks */

/**
 * How each medium is sent. Chromium marks its uplink by networkPriority (RFC 8837): audio EF, video at high AF41, at medium AF42, so that the
 * network can tell content from video.
 * @type {Record<Medium, {priority: RTCPriorityType, bitrate: number, degradation?: RTCDegradationPreference, temporal?: boolean}>}
 */
const SENDING = {
  audio: { priority: 'high', bitrate: 64_000 },
  video: { priority: 'high', bitrate: 1_700_000, degradation: 'balanced', temporal: true },
  content: { priority: 'medium', bitrate: 2_500_000, degradation: 'maintain-resolution', temporal: true },
};

/**
 * The encodings of a camera's picture that the box may ask for (a=simulcast), by their RIDs.
 * @type {Record<string, {scale: number, bitrate: number}>}
 */
const ENCODINGS = {
  l: { scale: 4, bitrate: 150_000 },
  m: { scale: 2, bitrate: 500_000 },
  h: { scale: 1, bitrate: 1_700_000 },
};

/** Below that, in bit/s, no encoder makes a picture of it. */
const LEAST = 30_000;

/** Three layers in time: whoever has little bandwidth is sent every second picture, or every fourth. */
const TEMPORAL = 'L1T3';

/** @param {string} mid @returns {Medium} */
export function mediumOf(mid) {
  return MEDIA.find((medium) => mid.startsWith(medium)) ?? 'video';
}

/**
 * @typedef {object} PeerEvents
 * @property {(slots: Map<string, RTCRtpReceiver>) => void} slots the receive slots, by mid
 * @property {(state: 'connecting'|'connected'|'disconnected'|'failed') => void} state of all transports together
 */

/** How the codecs that have spatial layers are sent: three, so that the box chooses one for each receiver; upper ones refer to lower ones in keyframes alone. */
const SPATIAL = 'L3T3_KEY';
const LAYERED = ['vp9', 'av1'];

/**
 * Has the encodings of a sender use a codec that was negotiated. Without a wish, or where the browser cannot choose (RTCRtpEncodingParameters.codec),
 * they stay as they are.
 * @param {RTCRtpSendParameters} parameters
 * @param {string|undefined} wish
 */
function chooseCodec(parameters, wish) {
  const codec = parameters.codecs?.find((one) => one.mimeType.toLowerCase() === `video/${wish}`);
  if (!codec || !wish) return;
  const encodings = /** @type {(RTCRtpEncodingParameters & {codec?: RTCRtpCodec, scalabilityMode?: string})[]} */ (parameters.encodings ?? []);
  const layered = LAYERED.includes(wish);
  const any = encodings.some((encoding) => encoding.active);
  encodings.forEach((encoding, i) => {
    encoding.codec = codec;
    if (!layered) {
      if (encoding.scalabilityMode === SPATIAL) encoding.scalabilityMode = 'L1T1';
      return;
    }
    // All sizes are in one stream. Chromium makes spatial layers of the first encoding, if the others are inactive and have no mode of their own.
    encoding.active = any && i === 0;
    encoding.scaleResolutionDownBy = 1;
    encoding.maxBitrate = Math.max(...encodings.map((one) => one.maxBitrate ?? 0));
    if (i === 0) encoding.scalabilityMode = SPATIAL;
    else delete encoding.scalabilityMode;
  });
}

export class Peer {
  #events;
  #pc;
  /** @type {Tracks} */
  #tracks;
  /** @type {Map<Medium, string>} in which codec the box wants a medium; what the browser begins with where nothing is said */
  codecs;
  /** @type {Map<Medium, string[]>} the encodings that somebody looks at, by RID; all where nothing is said */
  needed;
  /** @type {import('./protocol.js').Ceiling[]} of which encodings nobody can be sent more */
  ceilings;
  /** Parameters are read, changed and set: one change after the other. */
  #tuning = Promise.resolve();
  #closed = false;

  /**
   * @param {Tracks} tracks what is sent at present
   * @param {{codecs: Map<Medium, string>, needed: Map<Medium, string[]>, ceilings: import('./protocol.js').Ceiling[]}|null} before the peer before, and what the box asked of it
   * @param {PeerEvents} events
   * @param {RTCIceServer[]} iceServers
   */
  constructor(tracks, before, events, iceServers) {
    this.codecs = new Map(before?.codecs);
    this.needed = new Map(before?.needed);
    this.ceilings = before?.ceilings ?? [];
    this.#events = events;
    this.#tracks = { ...tracks };
    this.#pc = new RTCPeerConnection({ bundlePolicy: 'balanced', iceServers });
    this.#pc.addEventListener('connectionstatechange', () => this.#report());
    this.#pc.addEventListener('iceconnectionstatechange', () => this.#report());
  }

  get connection() {
    return this.#pc;
  }

  /** Whether every transport works. */
  get connected() {
    return this.#pc.connectionState === 'connected';
  }

  /**
   * Takes an offer of the box and returns the answer.
   * @param {string} sdp
   * @returns {Promise<string>}
   */
  async accept(sdp) {
    await this.#pc.setRemoteDescription({ type: 'offer', sdp });
    /** @type {Map<string, RTCRtpReceiver>} */
    const slots = new Map();
    for (const transceiver of this.#pc.getTransceivers()) {
      const mid = transceiver.mid ?? '';
      if (mid.endsWith('-up')) {
        transceiver.direction = 'sendonly';
        await transceiver.sender.replaceTrack(this.#tracks[mediumOf(mid)] ?? null);
      } else if (mid) {
        transceiver.direction = 'recvonly';
        slots.set(mid, transceiver.receiver);
      }
    }
    const answer = await this.#pc.createAnswer();
    await this.#pc.setLocalDescription(answer);
    await Promise.all(MEDIA.map((medium) => this.#tune(medium)));
    this.#events.slots(slots);
    return this.#pc.localDescription?.sdp ?? answer.sdp ?? '';
  }

  /**
   * Sends another track, or nothing. No SDP is needed.
   * @param {Medium} medium
   * @param {MediaStreamTrack|null} track
   */
  async setTrack(medium, track) {
    this.#tracks[medium] = track;
    await this.#up(medium)?.sender.replaceTrack(track);
    if (track) await this.#tune(medium);
  }

  /**
   * Sends media in other codecs, if this browser can.
   * @param {{medium: Medium, codec: string}[]} media
   */
  async setCodecs(media) {
    for (const { medium, codec } of media) this.codecs.set(medium, codec);
    for (const { medium } of media) await this.#tune(medium);
  }

  /**
   * Sends what somebody looks at and no other encodings.
   * @param {{medium: Medium, rids: string[]|null}[]} media
   */
  async setNeeded(media) {
    for (const { medium, rids } of media) {
      this.needed.set(medium, rids ?? []);
      await this.#tune(medium);
    }
  }

  /**
   * Sends no more of an encoding than anybody can be sent.
   * @param {import('./protocol.js').Ceiling[]} ceilings
   */
  async setCeilings(ceilings) {
    const media = new Set([...this.ceilings, ...ceilings].map((one) => one.medium));
    this.ceilings = ceilings;
    for (const medium of media) await this.#tune(medium);
  }

  /** What the box has asked for is not handed on to the peer that follows. */
  forget() {
    this.codecs = new Map();
    this.needed = new Map();
    this.ceilings = [];
  }

  /** @param {Medium} medium @param {string} rid @param {number} usual bit/s */
  #rate(medium, rid, usual) {
    const ceiling = this.ceilings.find((one) => one.medium === medium && (one.rid ?? '') === rid);
    return ceiling ? Math.min(usual, Math.max(ceiling.bitrate, LEAST)) : usual;
  }

  /** @param {Medium} medium */
  sender(medium) {
    return this.#up(medium)?.sender ?? null;
  }

  /** @param {string} mid */
  transceiver(mid) {
    return this.#pc.getTransceivers().find((one) => one.mid === mid) ?? null;
  }

  close() {
    this.#closed = true;
    this.#pc.close();
  }

  /** @param {Medium} medium */
  #up(medium) {
    return this.transceiver(`${medium}-up`);
  }

  /** @param {Medium} medium */
  #tune(medium) {
    this.#tuning = this.#tuning.then(async () => {
      try {
        await this.#setParameters(medium, true);
      } catch {
        // Layers in time are the newest of the parameters, so they are what an older browser stumbles over.
        await this.#setParameters(medium, false);
      }
    }).catch((error) => {
      // A browser that knows another of them not, or a connection closed meanwhile. Media flows all the same.
      console.info(`sending parameters of ${medium}:`, error);
    });
    return this.#tuning;
  }

  /** @param {Medium} medium @param {boolean} temporal whether layers in time are asked for */
  async #setParameters(medium, temporal) {
    const sender = this.#up(medium)?.sender;
    if (!sender) return;
    const wanted = SENDING[medium];
    const needed = this.needed.get(medium);
    const parameters = sender.getParameters();
    const encodings = /** @type {(RTCRtpEncodingParameters & {scalabilityMode?: string})[]} */ (parameters.encodings ?? []);
    // Chromium takes these two for the sender, from its first encoding, and refuses them in any other.
    if (encodings.length > 0) encodings[0].priority = encodings[0].networkPriority = wanted.priority;
    for (const encoding of encodings) {
      const layer = encodings.length > 1 ? ENCODINGS[encoding.rid ?? ''] : undefined;
      encoding.maxBitrate = this.#rate(medium, layer ? encoding.rid ?? '' : '', layer?.bitrate ?? wanted.bitrate);
      if (layer) encoding.scaleResolutionDownBy = layer.scale;
      if (layer) encoding.active = needed?.includes(encoding.rid ?? '') ?? true;
      if (temporal && wanted.temporal) encoding.scalabilityMode = TEMPORAL;
    }
    if (wanted.degradation) parameters.degradationPreference = wanted.degradation;
    chooseCodec(parameters, this.codecs.get(medium));
    await sender.setParameters(parameters);
  }

  #report() {
    if (this.#closed) return;
    const states = [this.#pc.connectionState, this.#pc.iceConnectionState];
    if (states.includes('failed')) this.#events.state('failed');
    else if (states.includes('disconnected')) this.#events.state('disconnected');
    else if (this.#pc.connectionState === 'connected') this.#events.state('connected');
    else this.#events.state('connecting');
  }
}
