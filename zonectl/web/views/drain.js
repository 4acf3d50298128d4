/** A strip that says ahead when everybody will be sent away. What is left is kept up to date in it; only what the server says is read out. */

import { drainSentence } from '../app/drain.js';
import { h, setText } from '../app/dom.js';
import { t } from '../app/text.js';

const LOOK_MS = 5000;
const QUIET_MS = 10000;

/** @param {import('../app/main.js').App} app */
export function drainView({ store }) {
  const text = h('p.drain-text');
  const spoken = h('p.hidden', { role: 'status' });
  /** @type {import('../app/drain.js').Drain|null} */
  let drain = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let quiet;
  const show = () => {
    setText(text, drain ? drainSentence(drain, Date.now()) : '');
    text.hidden = !drain;
  };
  // What has been read out is taken back, so that nobody comes upon it when it is no longer true.
  const hush = () => {
    setText(spoken, '');
    if (drain && !drain.on) drain = null;
    show();
  };
  const unwatch = store.watch(['drain'], (state) => {
    clearTimeout(quiet);
    drain = state.drain;
    show();
    setText(spoken, text.textContent ?? '');
    if (drain) quiet = setTimeout(hush, QUIET_MS);
  });
  const look = setInterval(show, LOOK_MS);
  return {
    element: h('section.drain', { 'aria-label': t('drain.label') }, text, spoken),
    close() {
      unwatch();
      clearTimeout(quiet);
      clearInterval(look);
    },
  };
}
