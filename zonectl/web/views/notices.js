/** Sentences that appear for some seconds; errors stay until dismissed. The two regions are there from the start so that both are spoken. */

import { h, icon } from '../app/dom.js';
import { dismiss } from '../app/state.js';
import { t } from '../app/text.js';

/** @param {import('../app/store.js').Store<import('../app/state.js').State>} store */
export function noticesView(store) {
  const polite = h('div.notices-region', { role: 'status', 'aria-live': 'polite' });
  const urgent = h('div.notices-region', { role: 'alert', 'aria-live': 'assertive' });
  /** @type {Map<number, HTMLElement>} */
  const shown = new Map();
  store.watch(['notices'], ({ notices }) => {
    for (const [id, element] of shown) {
      if (notices.some((notice) => notice.id === id)) continue;
      element.remove();
      shown.delete(id);
    }
    for (const notice of notices) {
      if (shown.has(notice.id)) continue;
      const element = noticeOf(store, notice);
      shown.set(notice.id, element);
      (notice.kind === 'error' ? urgent : polite).append(element);
    }
  });
  return h('section.notices', { 'aria-label': t('notices.label') }, urgent, polite);
}

/**
 * @param {import('../app/store.js').Store<import('../app/state.js').State>} store
 * @param {import('../app/state.js').Notice} notice
 */
function noticeOf(store, { id, kind, text, action }) {
  const act = () => {
    dismiss(store, id);
    action?.run();
  };
  return h(
    `div.notice.${kind}`,
    {},
    kind === 'error' ? icon('warning') : null,
    h('span', {}, text),
    action ? h('button.small', { type: 'button', onclick: act }, action.label) : null,
    h('button.ghost.round.small', { type: 'button', 'aria-label': t('dismiss'), onclick: () => dismiss(store, id) }, icon('close')),
  );
}
