/** What people are told ahead, when the box is going to send everybody away. */

import { language, t } from './text.js';

/** @typedef {{on: boolean, reason: string, at: number}} Drain at: in milliseconds of this browser's clock */

/**
 * What the server said, by this browser's clock.
 * @param {import('./protocol.js').Message} message
 * @param {number} now
 * @returns {Drain}
 */
export function drainOf({ on, reason, left_s: left }, now) {
  return { on, reason: reason ?? '', at: on ? now + (left ?? 0) * 1000 : 0 };
}

/**
 * One sentence of it.
 * @param {Drain} drain
 * @param {number} now
 */
export function drainSentence({ on, reason, at }, now) {
  if (!on) return t('drain.off');
  const far = at - now > 12 * 3600_000;
  const time = new Date(at).toLocaleTimeString(language(), { hour: 'numeric', minute: '2-digit', ...(far ? { weekday: 'long' } : {}) });
  const left = timeLeft(at - now);
  return reason ? t('drain.text', { left, time, reason }) : t('drain.plain', { left, time });
}

/** Hours and minutes, rounded up: "2 hours 5 minutes". @param {number} milliseconds */
export function timeLeft(milliseconds) {
  const minutes = Math.max(1, Math.ceil(milliseconds / 60_000));
  const unit = (/** @type {number} */ n, /** @type {string} */ name) =>
    n > 0 ? new Intl.NumberFormat(language(), { style: 'unit', unit: name, unitDisplay: 'long' }).format(n) : '';
  return [unit(Math.floor(minutes / 60), 'hour'), unit(minutes % 60, 'minute')].filter(Boolean).join(' ');
}
