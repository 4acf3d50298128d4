/** Stages 1 to 3 of a join, over HTTP: find the meeting, test the controllers, get a router. Also starting a meeting. */

import { udpAnswers } from './climb.js';
import { Trouble } from './errors.js';
import { isError } from './protocol.js';

/** @typedef {import('./protocol.js').Meeting} Meeting */
/** @typedef {{id: string, name: string, controllers: string[]}} Zone */
/** @typedef {{meeting: Meeting, zones: Zone[], tunnels?: string[], token: string, expires: number, client: string}} Lookup */
/** @typedef {{meeting: Meeting, link: string, host_key: string}} Started */
/** @typedef {{router: string, control: string}} Route */
/** @typedef {{base: string, zone: string, name: string, rank: number, roundTrip: number|null, jitter: number, udp: boolean|null, score: number, picked: boolean}} Tested */

/** Rounds of the network test; the first one opens the connection and is not counted. */
const ROUNDS = 4;
/** How long the network test may take in all. */
const TEST_MS = 5500;
/** How long UDP may take to answer, beyond two round trips. */
const UDP_MS = 150;
/** By how much a zone that ranks lower must be better to be preferred. The score is that of the native client: see docs/protocol.md. */
const NEARER_MS = 10;
const NO_UDP_MS = 100;
const LOAD_FREE = 80;
const LOAD_MS = 10;
const REQUEST_MS = 15000;
/** How long one controller of the zone that holds a meeting, or one router's controller, may take before the next one is asked too. */
const NEXT_MS = 1200;
/** How many controllers of the zone that holds a meeting are tried. */
const MAX_HOLDERS = 8;

/**
 * @param {{title?: string, passcode?: string}} request
 * @returns {Promise<Started>}
 */
export function startMeeting(request) {
  return post('/v1/meetings', request);
}

/** What says nothing of the meeting: the controller was not reached, or something before it answered. */
const UNHEARD = ['network', 'server'];

/**
 * Stage 1. Where this zone says that another one holds the meeting, that one is asked, once: what it says is the last word.
 * @param {{meeting: string, passcode?: string, host_key?: string}} request
 * @returns {Promise<Lookup>}
 */
export async function lookUp(request) {
  let trouble;
  try {
    return await post('/v1/lookup', request);
  } catch (thrown) {
    trouble = thrown;
  }
  const bases = holder(trouble);
  if (bases.length === 0) throw trouble;
  try {
    return await hedged(bases, (base, signal) => post(`${base}/v1/lookup`, request, signal));
  } catch (thrown) {
    if (thrown instanceof Trouble && !UNHEARD.includes(thrown.code)) throw thrown;
    throw trouble; // it says where the meeting is: perhaps a person can open it there
  }
}

/**
 * Asks one after the other, the next one when the last has failed or has said nothing for NEXT_MS, and returns the first answer. Those that are still asked are let go.
 * What somebody says of the meeting counts; that somebody was not reached counts only when nobody was.
 * @template T, U
 * @param {T[]} list
 * @param {(one: T, signal: AbortSignal) => Promise<U>} ask
 * @param {(trouble: unknown) => boolean} passes whether another one may do what one has refused
 * @returns {Promise<U>}
 */
export async function hedged(list, ask, passes = (trouble) => !(trouble instanceof Trouble) || UNHEARD.includes(trouble.code)) {
  const life = new AbortController();
  try {
    return await new Promise((resolve, reject) => {
      let next = 0;
      let open = 0;
      /** @type {unknown} */
      let failed;
      /** @type {ReturnType<typeof setTimeout>} */
      let patience;
      const more = () => {
        clearTimeout(patience);
        if (life.signal.aborted) return;
        if (next === list.length) {
          if (open === 0) reject(failed ?? new Trouble('network'));
          return;
        }
        open++;
        ask(list[next++], life.signal).then(resolve, (trouble) => {
          open--;
          failed ??= trouble;
          if (passes(trouble)) more();
          else reject(trouble);
        });
        patience = setTimeout(more, NEXT_MS);
      };
      more();
    });
  } finally {
    life.abort();
  }
}

/**
 * The controllers of the zone that an answer says holds the meeting.
 * @param {unknown} trouble
 * @returns {string[]}
 */
function holder(trouble) {
  if (!(trouble instanceof Trouble) || trouble.code !== 'elsewhere' || !Array.isArray(trouble.zone?.controllers)) return [];
  return trouble.zone.controllers.filter((base) => typeof base === 'string' && base.startsWith('https://')).map(trimmed).slice(0, MAX_HOLDERS);
}

/**
 * Stage 2: tests every controller of every zone at once, and the one this page came from. Nobody is waited for who cannot be picked any more.
 * @param {Zone[]} zones best first
 * @returns {Promise<Tested[]>} best first; those that did not answer have no round trip
 */
export async function testControllers(zones) {
  const own = zones.find((zone) => (zone.controllers ?? []).some((base) => trimmed(base) === location.origin));
  /** @type {Map<string, Test>} */
  const tests = new Map();
  zones.forEach((zone, rank) => {
    for (const base of (zone.controllers ?? []).map(trimmed)) if (!tests.has(base)) tests.set(base, new Test(base, zone, rank));
  });
  if (!own) tests.set(location.origin, new Test(location.origin, { id: '', name: '', controllers: [] }, zones.length));
  const all = [...tests.values()];
  const over = performance.now() + TEST_MS;
  for (const one of all) void one.run(all.length > 1);
  for (;;) {
    const best = pick(all);
    const waiting = all.filter((one) => !one.done);
    if (waiting.length === 0 || performance.now() > over || (best && !waiting.some((one) => one.couldBeat(best)))) {
      for (const one of waiting) one.stop();
      if (!best) throw new Trouble('network');
      const here = (/** @type {Test} */ one) => (one.base === location.origin ? 0 : 1); // this page came from there, so it answers
      const others = all.filter((one) => one !== best).sort((a, b) => (a.score === b.score ? here(a) - here(b) : a.score - b.score));
      return [best, ...others].map((one) => one.tested(one === best));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** @param {string} base */
const trimmed = (base) => base.replace(/\/$/, '');

/**
 * The best score, unless a zone that ranks higher is nearly as good.
 * @param {Test[]} all
 */
function pick(all) {
  const passed = all.filter((one) => one.done && one.score < Infinity);
  const least = Math.min(...passed.map((one) => one.score));
  return passed.filter((one) => one.score <= least + NEARER_MS).sort((a, b) => a.rank - b.rank || a.score - b.score)[0];
}

/** The test of one controller. */
class Test {
  done = false;
  score = Infinity;
  #zone;
  #began = performance.now();
  #life = new AbortController();
  /** @type {number[]} */
  #trips = [];
  /** @type {boolean|null} */
  #udp = null;

  /** @param {string} base @param {Zone} zone @param {number} rank */
  constructor(base, zone, rank) {
    this.base = base;
    this.rank = rank;
    this.#zone = zone;
  }

  stop() {
    this.#life.abort();
  }

  /** @param {Test} best */
  couldBeat(best) {
    const least = this.#trips.length > 0 ? Math.min(...this.#trips) : (performance.now() - this.#began) / 3; // the first answer needs three round trips
    return least <= best.score + (this.rank < best.rank ? NEARER_MS : -NEARER_MS);
  }

  /** @param {boolean} withUDP */
  async run(withUDP) {
    try {
      const first = await this.#ask();
      const answers = withUDP && first.check ? udpAnswers(first.check) : null;
      for (let i = 1; i < ROUNDS; i++) {
        const before = performance.now();
        await this.#ask();
        this.#trips.push(performance.now() - before);
      }
      this.#trips.sort((a, b) => a - b);
      const patience = UDP_MS + 2 * this.#median();
      if (answers) this.#udp = await Promise.race([answers, new Promise((resolve) => setTimeout(() => resolve(false), patience))]);
      const load = Math.max(0, (first.load ?? 0) - LOAD_FREE) * LOAD_MS;
      this.score = this.#median() + this.#jitter() + (this.#udp === false ? NO_UDP_MS : 0) + load + (first.draining ? 1e6 : 0);
    } catch {
      this.#trips = [];
    }
    this.done = true;
  }

  async #ask() {
    const answer = await fetch(`${this.base}/v1/probe`, { signal: this.#life.signal, cache: 'no-store' });
    if (!answer.ok) throw new Trouble('network');
    return answer.json();
  }

  #median() {
    return this.#trips[Math.floor(this.#trips.length / 2)];
  }

  #jitter() {
    return this.#trips[this.#trips.length - 1] - this.#trips[0];
  }

  /** @param {boolean} picked @returns {Tested} */
  tested(picked) {
    const answered = this.score < Infinity;
    return {
      base: this.base, zone: this.#zone.id, name: this.#zone.name, rank: this.rank, roundTrip: answered ? this.#median() : null,
      jitter: answered ? this.#jitter() : 0, udp: this.#udp, score: this.score, picked,
    };
  }
}

/**
 * Stage 3, for the best controller that has the meeting and takes people.
 * @param {Tested[]} tested best first
 * @param {string} token
 * @returns {Promise<{route: Route, tested: Tested}>}
 */
export async function routeToBest(tested, token) {
  const order = [...tested];
  let asked = 0;
  /** @param {Tested} one @param {AbortSignal} signal */
  const ask = async (one, signal) => {
    asked++;
    try {
      return { route: await routeTo(one.base, token, signal), tested: one };
    } catch (trouble) {
      const bases = one === tested[0] ? holder(trouble) : []; // the zone that the first one names comes next
      const rest = order.splice(asked);
      order.push(...rest.filter(({ base }) => bases.includes(base)), ...rest.filter(({ base }) => !bases.includes(base)));
      throw trouble;
    }
  };
  return hedged(order, ask, () => true);
}

/**
 * @param {string} base of the controller
 * @param {string} token
 * @param {AbortSignal} signal
 * @returns {Promise<Route>}
 */
async function routeTo(base, token, signal) {
  const route = await post(`${base}/v1/route`, { token }, signal);
  if (!/^wss?:/.test(route.control)) throw new Trouble('unexpected');
  return route;
}

/**
 * @param {string} url
 * @param {object} body
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
async function post(url, body, signal) {
  const life = new AbortController(); // AbortSignal.any is too new for Firefox ESR 115
  const end = () => life.abort();
  const late = setTimeout(end, REQUEST_MS);
  signal?.addEventListener('abort', end);
  if (signal?.aborted) end();
  let response;
  let answer;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: life.signal,
      cache: 'no-store',
    });
    answer = await response.json().catch(() => null);
  } catch {
    throw new Trouble('network');
  } finally {
    clearTimeout(late);
    signal?.removeEventListener('abort', end);
  }
  if (response.ok && answer) return answer;
  if (isError(answer)) throw Trouble.ofServer(answer);
  throw new Trouble('server');
}
