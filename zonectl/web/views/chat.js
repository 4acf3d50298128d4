/** Text chat. */

import { h, icon } from '../app/dom.js';
import { language, t } from '../app/text.js';

/** @param {import('../app/main.js').App} app */
export function chatView({ store, session }) {
  const log = h('div.chat-log.panel-scroll', { role: 'log', 'aria-live': 'polite', 'aria-label': t('chat.title'), tabindex: '0' });
  const empty = h('p.panel-empty', {}, t('chat.empty'));
  const input = h('textarea', { rows: '1', placeholder: t('chat.placeholder'), 'aria-label': t('chat.placeholder'), enterkeyhint: 'send' });
  const form = h('form.chat-form', {}, input, h('button.primary.round', { type: 'submit', 'aria-label': t('chat.send'), title: t('chat.send') }, icon('send')));
  form.addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text && session?.chat(text)) input.value = '';
    input.focus();
  });
  input.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  /** @type {import('../app/state.js').ChatLine|undefined} */
  let last;
  const unwatch = store.watch(['chat'], ({ chat }) => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    const fresh = last ? chat.slice(chat.lastIndexOf(last) + 1) : chat;
    for (const line of fresh) {
      log.append(lineOf(line, last));
      last = line;
    }
    empty.hidden = chat.length > 0;
    if (atEnd || fresh.some((line) => line.mine)) log.scrollTop = log.scrollHeight;
  });
  return { element: h('div.panel-body', {}, empty, log, form), focus: input, close: unwatch };
}

const FOLLOWS_MS = 120000;

/**
 * @param {import('../app/state.js').ChatLine} line
 * @param {import('../app/state.js').ChatLine|undefined} before
 */
function lineOf(line, before) {
  const follows = before?.id === line.id && line.sent - before.sent < FOLLOWS_MS;
  const sent = new Date(line.sent);
  const clock = sent.toLocaleTimeString(language(), { hour: '2-digit', minute: '2-digit' });
  const head = h('p.chat-head', {}, h('strong', {}, line.mine ? t('people.you') : line.name), ' ', h('time', { datetime: sent.toISOString() }, clock));
  return h(`div.chat-line${line.mine ? '.mine' : ''}`, {}, follows ? null : head, h('p.chat-text', {}, ...linked(line.text)));
}

/** Web addresses as links. @param {string} text @returns {(Node|string)[]} */
function linked(text) {
  return text
    .split(/(https?:\/\/[^\s<>"]+)/)
    .map((part, at) => (at % 2 === 1 ? h('a', { href: part, target: '_blank', rel: 'noopener noreferrer' }, part) : part));
}
