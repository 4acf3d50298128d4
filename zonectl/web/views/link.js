/** The link that brings others to the meeting. */

import { h, icon } from '../app/dom.js';
import { secretsOf } from '../app/prefs.js';
import { notify } from '../app/state.js';
import { t } from '../app/text.js';

/** @param {string} number */
export function linkOf(number) {
  return secretsOf(number).link || `${location.origin}/j/${number}`;
}

/**
 * @param {import('../app/store.js').Store<import('../app/state.js').State>} store
 * @param {string} number
 */
export async function copyLink(store, number) {
  const link = linkOf(number);
  try {
    await navigator.clipboard.writeText(link);
    notify(store, 'info', t('link.copied'));
  } catch {
    notify(store, 'info', t('link.manual', { link }));
  }
}

/**
 * @param {import('../app/store.js').Store<import('../app/state.js').State>} store
 * @param {string} number
 */
export function copyLinkButton(store, number) {
  return h('button.ghost', { type: 'button', onclick: () => void copyLink(store, number) }, icon('copy'), t('link.copy'));
}
