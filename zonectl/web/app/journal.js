/**
 * What came of each rung of one RTCPeerConnection, as far as a browser tells: by its candidate pairs, looked at several times a second, and by the
 * errors of its relay candidates.
 */

/** @typedef {'answers'|'silent'|'failed'|'denied'|'unreachable'|'untried'} Result */
/** @typedef {{rung: 'udp'|'tcp'|'tls', result: Result, ms: number}} Tried */

/** @type {('udp'|'tcp'|'tls')[]} */
export const RUNGS = ['udp', 'tcp', 'tls'];

/** ICE errors of RFC 8828, section 4.8.1: the relay could not be reached, or its certificate is not trusted. */
const UNREACHABLE = 701;

export class Journal {
  #begun = performance.now();
  /** @type {Map<string, {from: number, answered: number|null, sent: boolean, failed: boolean}>} by transport and rung */
  #entries = new Map();
  /** @type {Result|null} */
  #relay = null;

  /** @param {RTCPeerConnection} pc */
  constructor(pc) {
    pc.addEventListener('icecandidateerror', (event) => {
      this.#relay = event.errorCode === UNREACHABLE ? 'unreachable' : 'denied';
    });
  }

  /** @param {any[]} all statistics */
  note(all) {
    const now = performance.now();
    const locals = new Map(all.filter((one) => one.type === 'local-candidate').map((one) => [one.id, one]));
    for (const pair of all) {
      const local = pair.type === 'candidate-pair' ? locals.get(pair.localCandidateId) : null;
      if (!local) continue;
      const key = `${pair.transportId} ${rungOf(local)}`;
      const entry = this.#entries.get(key) ?? { from: now, answered: null, sent: false, failed: true };
      entry.sent ||= pair.requestsSent > 0;
      entry.failed &&= pair.state === 'failed';
      if (pair.responsesReceived > 0) entry.answered ??= now;
      this.#entries.set(key, entry);
    }
  }

  /**
   * What came of the rungs of one transport, best first.
   * @param {string} transport its id in the statistics
   * @returns {Tried[]}
   */
  of(transport) {
    const now = performance.now();
    let better = false; // a rung above answers: what waits below it is not asked for
    return RUNGS.map((rung) => {
      const entry = this.#entries.get(`${transport} ${rung}`);
      const needless = better && !entry?.sent;
      better ||= typeof entry?.answered === 'number';
      if (needless) return { rung, result: 'untried', ms: 0 };
      if (entry && entry.answered !== null) return { rung, result: 'answers', ms: entry.answered - this.#begun };
      if (rung === 'tls' && !entry) return { rung, result: this.#relay ?? 'untried', ms: 0 };
      if (!entry) return { rung, result: 'untried', ms: 0 };
      return { rung, result: entry.failed && !entry.sent ? 'failed' : 'silent', ms: now - entry.from };
    });
  }
}

/** The rung of a local candidate. @param {any} candidate @returns {'udp'|'tcp'|'tls'} */
export function rungOf(candidate) {
  if (candidate.candidateType === 'relay') return 'tls'; // the box has no other relay
  return candidate.protocol === 'tcp' ? 'tcp' : 'udp';
}
