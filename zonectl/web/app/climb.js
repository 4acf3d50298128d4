/**
 * The way back up: while a medium travels over TCP or TLS, UDP is tried now and then beside it, with a connection that carries nothing. When it
 * passes, the session asks for a fresh offer; when that did not lead to UDP, the next try comes later.
 */

const FIRST_MS = 5000;
const LONGEST_MS = 120000;
const PASS_MS = 2500;
const PASSES = 2;

export class Climb {
  #up;
  #wait = FIRST_MS;
  #next = 0;
  #trying = false;
  #closed = false;

  /** @param {() => void} up UDP passes again */
  constructor(up) {
    this.#up = up;
  }

  /**
   * Called with every sample of the statistics.
   * @param {string[]} rungs of the media that are connected
   * @param {string} base of the controller
   */
  sampled(rungs, base) {
    if (rungs.length === 0 || this.#trying || this.#closed) return;
    if (rungs.every((rung) => rung === 'udp')) {
      this.#wait = FIRST_MS;
      this.#next = 0;
      return;
    }
    const now = Date.now();
    if (this.#next === 0) this.#next = now + this.#wait;
    if (now >= this.#next) void this.#try(base);
  }

  close() {
    this.#closed = true;
  }

  /** @param {string} base */
  async #try(base) {
    this.#trying = true;
    try {
      let passes = true;
      for (let i = 0; i < PASSES && passes; i++) passes = await udpPasses(base);
      if (passes && !this.#closed) {
        this.#wait = Math.min(LONGEST_MS, 2 * this.#wait);
        this.#up();
      }
    } finally {
      this.#trying = false;
      this.#next = Date.now() + this.#wait;
    }
  }
}

/**
 * Whether the media port answers on UDP: an ordinary connectivity check with credentials that belong to no meeting.
 * @param {string} base of the controller
 */
export async function udpPasses(base) {
  try {
    const answer = await fetch(`${base}/v1/probe`, { signal: AbortSignal.timeout(PASS_MS), cache: 'no-store' });
    return await udpAnswers((await answer.json()).check);
  } catch {
    return false;
  }
}

/**
 * The same with credentials that are there already.
 * @param {{ufrag: string, password: string, candidates: string[]}|undefined} check
 */
export async function udpAnswers(check) {
  if (!check?.candidates?.length) return false;
  const pc = new RTCPeerConnection({ iceServers: [] });
  try {
    pc.createDataChannel('probe');
    await pc.setLocalDescription(await pc.createOffer());
    const connected = new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), PASS_MS);
      pc.addEventListener('iceconnectionstatechange', () => {
        if (!['connected', 'completed', 'failed'].includes(pc.iceConnectionState)) return;
        clearTimeout(timer);
        resolve(pc.iceConnectionState !== 'failed');
      });
    });
    await pc.setRemoteDescription({ type: 'answer', sdp: probeAnswer(check) });
    return await connected;
  } catch {
    return false;
  } finally {
    pc.close();
  }
}

/**
 * The answer that an ICE-lite box would give to an offer of a data channel. DTLS never begins, so its fingerprint is nobody's.
 * @param {{ufrag: string, password: string, candidates: string[]}} check
 */
export function probeAnswer({ ufrag, password, candidates }) {
  const lines = candidates.slice(0, 8).flatMap((one, i) => {
    const [, host, port] = /^\[?([^\]]+)\]?:(\d+)$/.exec(one) ?? [];
    return host ? [`a=candidate:${i + 1} 1 udp ${2130706431 - 256 * i} ${host} ${port} typ host`] : [];
  });
  return [
    'v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=ice-lite', 'a=group:BUNDLE 0',
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'c=IN IP4 0.0.0.0', 'a=mid:0', `a=ice-ufrag:${ufrag}`, `a=ice-pwd:${password}`,
    `a=fingerprint:sha-256 ${Array(32).fill('00').join(':')}`, 'a=setup:passive', 'a=sctp-port:5000', ...lines, 'a=end-of-candidates', '',
  ].join('\r\n');
}
