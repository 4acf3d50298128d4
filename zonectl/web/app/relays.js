/** The way to the router's media through the HTTPS port, TURN over TLS, in the form that this browser takes. */

/** @typedef {import('./protocol.js').Relay} Relay */

/**
 * The ICE servers of a PeerConnection with all media. One address is enough, and each further one would cost three connections.
 * @param {Relay[]} relays of an offer
 * @param {boolean} [needsName] Firefox takes no bare address in a turns URL
 * @returns {RTCIceServer[]}
 */
export function iceServers(relays, needsName = /firefox/i.test(globalThis.navigator?.userAgent ?? '')) {
  const relay = relays.find((one) => !one.medium);
  const url = relay?.urls.find((one) => !needsName || !isAddress(one));
  return relay && url ? [{ urls: url, username: relay.username, credential: relay.credential }] : [];
}

/** @param {string} url */
function isAddress(url) {
  const host = /^turns?:(\[[^\]]*\]|[^:?]*)/.exec(url)?.[1] ?? '';
  return host.startsWith('[') || /^\d+(\.\d+){3}$/.test(host);
}
