/** After the meeting, and addresses that lead nowhere. */

import { h, icon } from '../app/dom.js';
import { spaced } from '../app/protocol.js';
import { t } from '../app/text.js';
import { frame } from './frame.js';

/** Reasons after which coming back makes sense. */
const MAY_RETURN = new Set(['', 'drain', 'session', 'token', 'server', 'network', 'unexpected', 'rate', 'bad-message']);

/** @param {import('../app/main.js').App} app */
export function endedView(app) {
  const { trouble, number } = app.store.state;
  const title = trouble ? trouble.text : t('ended.left');
  const again = MAY_RETURN.has(trouble?.code ?? '');
  const element = frame(
    h(
      'section.card.message',
      {},
      trouble ? icon('warning') : icon('leave'),
      h('h1', { tabindex: '-1' }, title),
      h('p.lead', {}, trouble ? trouble.advice : t('ended.lead')),
      h(
        'div.actions',
        {},
        again ? h('button.primary', { type: 'button', onclick: () => app.open(number) }, t('ended.again', { number: spaced(number) })) : null,
        h('button.secondary', { type: 'button', onclick: () => app.home() }, t('ended.home')),
      ),
    ),
  );
  return { element, title, close() {} };
}

/** @param {import('../app/main.js').App} app */
export function missingView(app) {
  const element = frame(
    h(
      'section.card.message',
      {},
      icon('warning'),
      h('h1', { tabindex: '-1' }, t('missing.title')),
      h('p.lead', {}, t('missing.lead')),
      h('div.actions', {}, h('button.primary', { type: 'button', onclick: () => app.home() }, t('ended.home'))),
    ),
  );
  return { element, title: t('missing.title'), close() {} };
}
