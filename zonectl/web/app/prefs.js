/** What this browser remembers of the person. Storage may be refused or full: then everything lasts as long as the page. */

/** @typedef {'name'|'theme'|'language'|'devices'|'camera'|'microphone'|'layout'|'shortcuts'} PrefName */

const PREFIX = 'meetzone.';
/** @type {Map<string, any>} */
const kept = new Map();

/**
 * @template T
 * @param {PrefName} name
 * @param {T} otherwise
 * @returns {T}
 */
export function pref(name, otherwise) {
  return read(localStorageOrNull(), name, otherwise);
}

/**
 * @param {PrefName} name
 * @param {unknown} value
 */
export function setPref(name, value) {
  write(localStorageOrNull(), name, value);
}

/** @typedef {{hostKey?: string, passcode?: string, link?: string}} Secrets what this tab knows of a meeting */

/**
 * @param {string} number of the meeting
 * @returns {Secrets}
 */
export function secretsOf(number) {
  return read(sessionStorageOrNull(), `meeting.${number}`, {});
}

/**
 * @param {string} number
 * @param {Secrets} secrets
 */
export function keepSecrets(number, secrets) {
  write(sessionStorageOrNull(), `meeting.${number}`, { ...secretsOf(number), ...secrets });
}

/** @param {Storage|null} storage @param {string} name @param {any} otherwise */
function read(storage, name, otherwise) {
  if (kept.has(name)) return kept.get(name);
  try {
    const text = storage?.getItem(PREFIX + name);
    return text == null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise;
  }
}

/** @param {Storage|null} storage @param {string} name @param {unknown} value */
function write(storage, name, value) {
  kept.set(name, value);
  try {
    storage?.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Kept in memory.
  }
}

function localStorageOrNull() {
  try {
    return localStorage;
  } catch {
    return null;
  }
}

function sessionStorageOrNull() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}
