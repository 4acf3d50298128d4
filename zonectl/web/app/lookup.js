/** Stages 1 to 3 of a join, over HTTP: find the meeting, test the controllers, get a router. Also starting a meeting. */

import { Trouble } from './errors.js';
import { isError } from './protocol.js';

/** @typedef {import('./protocol.js').Meeting} Meeting */
/** @typedef {{id: string, name: string, controllers: string[]}} Zone */
/** @typedef {{meeting: Meeting, zones: Zone[], tunnels?: string[], token: string, expires: number, client: string}} Lookup */
/** @typedef {{meeting: Meeting, link: string, host_key: string}} Started */
/** @typedef {{router: string, control: string}} Route */
/** @typedef {{base: string, zone: string, roundTrip: number}} Tested */

/** How long a controller may take to answer the network test; then the best of those that did is taken. */
const PROBE_MS = 5500;
const REQUEST_MS = 15000;

/**
 * @param {{title?: string, passcode?: string}} request
 * @returns {Promise<Started>}
 */
export function startMeeting(request) {
  return post('/v1/meetings', request);
}

/**
 * Stage 1.
 * @param {{meeting: string, passcode?: string, host_key?: string}} request
 * @returns {Promise<Lookup>}
 */
export function lookUp(request) {
  return post('/v1/lookup', request);
}

/**
 * Stage 2: asks every controller of every zone at once, and the one this page came from.
 * @param {Zone[]} zones best first
 * @returns {Promise<Tested>} the nearest controller of the best zone that answered
 */
export async function chooseController(zones) {
  const bases = new Set([location.origin, ...zones.flatMap((zone) => zone.controllers ?? [])].map((base) => base.replace(/\/$/, '')));
  const answers = await Promise.allSettled([...bases].map(probe));
  const tested = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  if (tested.length === 0) throw new Trouble('network');
  const rank = (/** @type {Tested} */ one) => {
    const at = zones.findIndex((zone) => zone.id === one.zone);
    return at < 0 ? zones.length : at;
  };
  return tested.sort((a, b) => rank(a) - rank(b) || a.roundTrip - b.roundTrip)[0];
}

/**
 * One controller's round trip: the second of two requests, since the first one also sets up the connection.
 * @param {string} base
 * @returns {Promise<Tested>}
 */
async function probe(base) {
  const url = `${base}/v1/probe`;
  const options = () => ({ signal: AbortSignal.timeout(PROBE_MS), cache: /** @type {const} */ ('no-store') });
  const first = await fetch(url, options());
  if (!first.ok) throw new Trouble('network');
  const answer = await first.json();
  const before = performance.now();
  await (await fetch(url, options())).arrayBuffer();
  return { base, zone: String(answer.zone ?? ''), roundTrip: performance.now() - before };
}

/**
 * Stage 3.
 * @param {string} base of the controller
 * @param {string} token
 * @returns {Promise<Route>}
 */
export async function routeTo(base, token) {
  const route = await post(`${base}/v1/route`, { token });
  if (!/^wss?:/.test(route.control)) throw new Trouble('unexpected');
  return route;
}

/**
 * @param {string} url
 * @param {object} body
 * @returns {Promise<any>}
 */
async function post(url, body) {
  let response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_MS),
      cache: 'no-store',
    });
  } catch {
    throw new Trouble('network');
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  if (isError(answer)) throw Trouble.ofServer(answer);
  throw new Trouble('server');
}
