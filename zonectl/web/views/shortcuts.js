/** Single keys in the meeting. Not while typing, not with a modifier, not over a dialog, and not at all when the person switched them off. */

import { pref } from '../app/prefs.js';

/** @typedef {'mute'|'camera'|'share'|'chat'|'people'|'connection'|'layout'|'pin'|'previous'|'next'|'help'|'leave'|'escape'} Command */

/** @type {{keys: string[], command: Command, label: string}[]} */
export const SHORTCUTS = [
  { keys: ['M'], command: 'mute', label: 'help.mute' },
  { keys: ['V'], command: 'camera', label: 'help.camera' },
  { keys: ['S'], command: 'share', label: 'help.share' },
  { keys: ['C'], command: 'chat', label: 'help.chat' },
  { keys: ['P'], command: 'people', label: 'help.people' },
  { keys: ['I'], command: 'connection', label: 'help.connection' },
  { keys: ['L'], command: 'layout', label: 'help.layout' },
  { keys: ['F'], command: 'pin', label: 'help.pin' },
  { keys: ['[', 'PageUp'], command: 'previous', label: 'help.previous' },
  { keys: [']', 'PageDown'], command: 'next', label: 'help.next' },
  { keys: ['Q'], command: 'leave', label: 'help.leave' },
  { keys: ['?'], command: 'help', label: 'help.help' },
  { keys: ['Esc'], command: 'escape', label: 'help.escape' },
];

/** The physical keys, for keyboards that write other letters. @type {Record<string, string>} */
const CODES = Object.fromEntries([...'MVSCPILFQ'].map((letter) => [`Key${letter}`, letter]));

/**
 * @param {Record<Command, () => void>} commands
 * @returns {() => void} stops listening
 */
export function listenForShortcuts(commands) {
  const listener = (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing) return;
    if (document.querySelector('dialog[open]')) return;
    if (event.key === 'Escape') {
      commands.escape();
      return;
    }
    if (isTyping(event.target) || scrolls(event) || !pref('shortcuts', true)) return;
    const key = CODES[event.code] ?? event.key;
    const shortcut = SHORTCUTS.find((one) => one.keys.includes(key));
    if (!shortcut) return;
    event.preventDefault();
    commands[shortcut.command]();
  };
  addEventListener('keydown', listener);
  return () => removeEventListener('keydown', listener);
}

/** Whether the key scrolls a panel. @param {KeyboardEvent} event */
function scrolls({ key, target }) {
  return key.startsWith('Page') && target instanceof Element && target.closest('.panel') !== null;
}

/** @param {EventTarget|null} target */
function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
