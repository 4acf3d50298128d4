/**
 * The messages of the control channel (docs/protocol.md): JSON objects whose member "type" stands beside the fields. What the server sends is
 * checked against the table below before anything believes it; unknown types and members are ignored, so that a newer server may say more.
 */

/** @typedef {'audio'|'video'|'content'} Medium */
/** @typedef {'host'|'participant'|'viewer'|'publisher'} Role */
/** @typedef {{number: string, title: string, locked: boolean, started?: number}} Meeting */
/** @typedef {{id: string, name: string, role: Role, audio: boolean, video: boolean, sharing: boolean, away?: boolean}} Participant */
/** @typedef {{mid: string, medium: Medium, participant?: string, paused?: boolean}} Slot */
/** @typedef {{medium?: Medium, urls: string[], username: string, credential: string}} Relay */
/** @typedef {{slot: number, participant?: string, height?: number, priority?: number}} View */
/** @typedef {{medium: Medium, rid?: string, bitrate: number}} Ceiling */
/** @typedef {{medium: Medium, state: string, rung?: string, local?: string, remote?: string, cipher?: string, dscp: number, silent?: boolean}} TransportState */
/** @typedef {{score: number, loss?: number, jitter_ms: number, rtt_ms: number, bitrate: number, fps?: number, freezes?: number, frozen?: number, concealed?: number}} FlowQuality */
/** @typedef {{medium: Medium, up?: FlowQuality, down?: FlowQuality}} MediumQuality */
/** @typedef {{code: string, text: string, advice?: string, retry?: number, zone?: {id: string, name: string, controllers: string[]}}} WireError */
/** @typedef {{type: string} & Record<string, any>} Message */

export const SUBPROTOCOL = 'meetzone.control';
export const MIN_VERSION = 1;
export const MAX_VERSION = 1;
export const MAX_CHAT = 4000; // bytes
export const MAX_NAME = 120; // bytes
export const MAX_TITLE = 200; // bytes
export const MAX_VIDEO_SLOTS = 49;

/** @type {Medium[]} */
export const MEDIA = ['audio', 'video', 'content'];

const string = (/** @type {unknown} */ v) => typeof v === 'string';
const number = (/** @type {unknown} */ v) => typeof v === 'number' && Number.isFinite(v);
const boolean = (/** @type {unknown} */ v) => typeof v === 'boolean';
const optional = (/** @type {(v: unknown) => boolean} */ check) => (/** @type {unknown} */ v) => v === undefined || check(v);
const list = (/** @type {(v: unknown) => boolean} */ check) => (/** @type {unknown} */ v) => v === null || (Array.isArray(v) && v.every(check));
const medium = (/** @type {unknown} */ v) => MEDIA.includes(/** @type {Medium} */ (v));

/** @param {Record<string, (v: unknown) => boolean>} fields */
const object = (fields) => (/** @type {any} */ v) =>
  typeof v === 'object' && v !== null && !Array.isArray(v) && Object.entries(fields).every(([name, check]) => check(v[name]));

const meeting = object({ number: string, title: string, locked: boolean });
const participant = object({
  id: string, name: string, role: string, audio: boolean, video: boolean, sharing: boolean, away: optional(boolean),
});
const slot = object({ mid: string, medium, participant: optional(string), paused: optional(boolean) });
const transport = object({ medium, state: string, rung: optional(string), local: optional(string), remote: optional(string), dscp: number, silent: optional(boolean) });
const relay = object({ medium: optional(medium), urls: list(string), username: string, credential: string });
const flow = object({ score: number, loss: optional(number), jitter_ms: number, rtt_ms: number, bitrate: number, frozen: optional(number), concealed: optional(number) });
const judged = object({ medium, up: optional(flow), down: optional(flow) });
export const isError = object({ code: string, text: string, advice: optional(string), retry: optional(number) });

/** What each message of the server must have. */
const SERVER = {
  welcome: object({ version: number, session: string, secret: string, participant: string, role: string, resumed: boolean, meeting }),
  offer: object({ generation: number, fresh: boolean, sdp: string, relays: optional(list(relay)) }),
  participants: object({ state: number, participants: list(participant) }),
  joined: object({ state: number, participant }),
  left: object({ state: number, participant: string }),
  'meeting-changed': object({ state: number, meeting }),
  slots: object({ slots: list(slot) }),
  'send-codecs': object({ media: list(object({ medium, codec: string })) }),
  'send-layers': object({ media: list(object({ medium, rids: list(string) })) }),
  'send-rates': object({ ceilings: list(object({ medium, rid: optional(string), bitrate: number })) }),
  speaker: object({ participant: string }),
  quality: object({ media: list(judged) }),
  transports: object({ transports: list(transport) }),
  chat: object({ state: number, participant: string, name: string, text: string, sent: number }),
  muted: object({ medium, muted: boolean, by: string }),
  'role-changed': object({ role: string }),
  drain: object({ on: boolean, reason: optional(string), left_s: optional(number) }),
  failure: object({ about: string, error: isError }),
  bye: object({ error: isError }),
  pong: object({ sent: number }),
};

/** What a client may say. */
const CLIENT = new Set([
  'hello', 'answer', 'negotiate', 'set-views', 'set-mute', 'set-share', 'send-chat', 'host-mute', 'host-remove', 'host-lock', 'host-end',
  'claim-host', 'report', 'ping', 'leave',
]);

/**
 * Decodes what the server sent.
 * @param {string} text
 * @returns {Message | null} null for a type that this version does not know
 * @throws {Error} when the text is no message
 */
export function decode(text) {
  const message = JSON.parse(text);
  if (typeof message !== 'object' || message === null || typeof message.type !== 'string') throw new Error('not a message');
  const check = Object.hasOwn(SERVER, message.type) ? SERVER[/** @type {keyof typeof SERVER} */ (message.type)] : null;
  if (!check) return null;
  if (!check(message)) throw new Error(`message ${message.type} lacks a member or has one of another kind`);
  return message;
}

/**
 * Encodes a message for the server.
 * @param {string} type
 * @param {object} [fields]
 */
export function encode(type, fields = {}) {
  if (!CLIENT.has(type)) throw new Error(`no message of the client: ${type}`);
  return JSON.stringify({ type, ...fields });
}

/**
 * Cuts text to so many bytes of UTF-8 without cutting a character.
 * @param {string} text
 * @param {number} max
 */
export function cut(text, max) {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= max) return text;
  let end = max;
  while (end > 0 && (bytes[end] & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(bytes.subarray(0, end));
}

/**
 * Digits of a meeting number as people type or paste it, or of a link to the meeting.
 * @param {string} typed
 */
export function meetingNumber(typed) {
  const link = /\/j\/([0-9 -]+)/.exec(typed);
  return (link ? link[1] : typed).replace(/[\s-]/g, '');
}

/**
 * A meeting number in groups, as people read it aloud.
 * @param {string} number
 */
export function spaced(number) {
  if (number.length === 9) return number.replace(/(\d{3})(\d{3})(\d{3})/, '$1 $2 $3');
  if (number.length === 10) return number.replace(/(\d{3})(\d{3})(\d{4})/, '$1 $2 $3');
  if (number.length === 11) return number.replace(/(\d{3})(\d{4})(\d{4})/, '$1 $2 $3');
  return number.replace(/(\d{3})(?=\d)/g, '$1 ').trim();
}
