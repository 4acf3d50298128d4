/** What the browser measures, by medium. One Meter belongs to one RTCPeerConnection; rates are between two calls of sample, or of report. */

import { between, sum, totalsOf } from './figures.js';
import { MEDIA } from './protocol.js';
import { mediumOf } from './peer.js';

/** @typedef {import('./protocol.js').Medium} Medium */

/**
 * @typedef {object} MediumStats
 * @property {Medium} medium
 * @property {string} state of the transport
 * @property {string} transport its id in the statistics
 * @property {import('./journal.js').Tried[]} [tried] what came of each rung
 * @property {string} rung "udp", "tcp", "tls" or ""
 * @property {string} local
 * @property {string} remote
 * @property {string} cipher
 * @property {number} received packets
 * @property {number} lost packets
 * @property {number} sent packets
 * @property {number|null} lossUp percent, as the box reports it
 * @property {number|null} jitter milliseconds, of what arrives
 * @property {number|null} jitterUp milliseconds, as the box reports it
 * @property {number|null} roundTrip milliseconds
 * @property {import('./figures.js').Lately} lately since the sample before
 * @property {string} picture what is sent, such as "1280×720 · 30/s"
 */

/** @typedef {import('./figures.js').Totals} Totals */

export class Meter {
  #pc;
  /** At the sample before. @type {Map<Medium, Totals>} */
  #marks = new Map();
  /** At the report before. @type {Map<Medium, Totals>} */
  #reported = new Map();

  /** @param {RTCPeerConnection} pc */
  constructor(pc) {
    this.#pc = pc;
  }

  /**
   * @param {Set<string>} expected mids of slots in which a picture should move
   * @returns {Promise<{stats: MediumStats[], raw: any[]}>} by medium, and all that the browser says
   */
  async sample(expected) {
    /** @type {any[]} */
    const all = [...(await this.#pc.getStats()).values()];
    const byId = new Map(all.map((one) => [one.id, one]));
    const fragments = fragmentsOf(this.#pc.localDescription?.sdp ?? '');
    return { stats: MEDIA.map((medium) => this.#medium(medium, all, byId, fragments, expected)), raw: all };
  }

  /** What the server is told: the latest sample, with what is between it and the report before. @param {MediumStats[]} stats */
  report(stats) {
    return stats.map(({ medium, received, lost, jitter, roundTrip }) => {
      const total = /** @type {Totals} */ (this.#marks.get(medium));
      const before = this.#reported.get(medium);
      this.#reported.set(medium, total);
      const told = { medium, received, lost, jitter_ms: jitter ?? 0, rtt_ms: roundTrip ?? 0, dscp: -1 };
      return before ? { ...told, ...since(between(before, total), total) } : told;
    });
  }

  /**
   * @param {Medium} medium
   * @param {any[]} all
   * @param {Map<string, any>} byId
   * @param {Map<Medium, string>} fragments
   * @param {Set<string>} expected
   * @returns {MediumStats}
   */
  #medium(medium, all, byId, fragments, expected) {
    const inbound = all.filter((one) => one.type === 'inbound-rtp' && mediumOf(one.mid ?? '') === medium && one.mid);
    const outbound = all.filter((one) => one.type === 'outbound-rtp' && mediumOf(one.mid ?? '') === medium && one.mid);
    const reports = outbound.map((one) => byId.get(one.remoteId)).filter(Boolean);
    const transport = transportOf(medium, all, byId, [...inbound, ...outbound], fragments);
    const pair = byId.get(transport?.selectedCandidatePairId) ?? {};
    const local = byId.get(pair.localCandidateId);
    const total = totalsOf(inbound, outbound, expected, performance.now());
    const before = this.#marks.get(medium) ?? total;
    this.#marks.set(medium, total);
    const active = inbound.filter((one) => one.packetsReceived > 0);
    const roundTrip = pair.currentRoundTripTime ?? reports[0]?.roundTripTime;
    return {
      medium,
      state: transport?.dtlsState ?? 'new',
      transport: transport?.id ?? [...inbound, ...outbound][0]?.transportId ?? '',
      rung: rungOf(local),
      local: address(local),
      remote: address(byId.get(pair.remoteCandidateId)),
      cipher: transport?.srtpCipher ?? '',
      received: total.received,
      lost: total.lost,
      sent: sum(outbound, 'packetsSent'),
      lossUp: reports.length > 0 ? 100 * Math.max(...reports.map((one) => one.fractionLost ?? 0)) : null,
      jitterUp: reports.length > 0 ? 1000 * Math.max(...reports.map((one) => one.jitter ?? 0)) : null,
      jitter: active.length > 0 ? 1000 * Math.max(...active.map((one) => one.jitter ?? 0)) : null,
      roundTrip: roundTrip === undefined ? null : 1000 * roundTrip,
      lately: between(before, total),
      picture: pictureOf(outbound),
    };
  }
}

/**
 * The local ICE ufrag of each medium's transport; it finds transports that have not carried RTP yet.
 * @param {string} sdp
 * @returns {Map<Medium, string>}
 */
export function fragmentsOf(sdp) {
  /** @type {Map<Medium, string>} */
  const found = new Map();
  for (const section of sdp.split(/\r?\nm=/).slice(1)) {
    const mid = /\na=mid:(\S+)/.exec(section)?.[1];
    const fragment = /\na=ice-ufrag:(\S+)/.exec(section)?.[1];
    if (mid && fragment && !found.has(mediumOf(mid))) found.set(mediumOf(mid), fragment);
  }
  return found;
}

/**
 * @param {Medium} medium
 * @param {any[]} all
 * @param {Map<string, any>} byId
 * @param {any[]} streams
 * @param {Map<Medium, string>} fragments
 */
function transportOf(medium, all, byId, streams, fragments) {
  const named = streams.find((one) => byId.has(one.transportId));
  if (named) return byId.get(named.transportId);
  return all.find((one) => one.type === 'transport' && one.iceLocalUsernameFragment === fragments.get(medium));
}

/** @param {any} candidate */
function rungOf(candidate) {
  if (!candidate) return '';
  if (candidate.candidateType === 'relay') return candidate.relayProtocol === 'tls' ? 'tls' : candidate.relayProtocol ?? '';
  return candidate.protocol ?? '';
}

/** @param {any} candidate */
function address(candidate) {
  const host = candidate?.address ?? candidate?.ip;
  if (!host) return '';
  return host.includes(':') ? `[${host}]:${candidate.port}` : `${host}:${candidate.port}`;
}

/** @param {any[]} outbound */
function pictureOf(outbound) {
  const largest = outbound.filter((one) => one.frameHeight).sort((a, b) => b.frameHeight - a.frameHeight)[0];
  return largest ? `${largest.frameWidth}×${largest.frameHeight} · ${Math.round(largest.framesPerSecond ?? 0)}/s` : '';
}

/**
 * The members of a report that are of the time since the one before; what cannot be told is left out.
 * @param {import('./figures.js').Lately} lately
 * @param {Totals} total
 */
function since({ down, concealed, fps, pixels, frozen, sentFps, sentPixels }, { freezes }) {
  return {
    bitrate: down || undefined,
    concealed: concealed === null ? undefined : concealed / 100,
    picture: fps === null ? undefined : { fps, pixels, freezes, frozen: (frozen ?? 0) / 100 },
    sent: sentFps === null ? undefined : { fps: sentFps, pixels: sentPixels },
  };
}
