/** Modal dialogs. <dialog> keeps the focus inside, closes with Escape and gives the focus back. */

import { h, icon } from '../app/dom.js';
import { pref, setPref } from '../app/prefs.js';
import { t } from '../app/text.js';
import { deviceChoices } from './devices.js';
import { field, themeButton } from './frame.js';
import { SHORTCUTS } from './shortcuts.js';

/**
 * @param {string} title
 * @param {(Node|string|null)[]} content
 * @param {() => void} [closed]
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, content, closed = () => {}) {
  const id = `dialog-${Math.random().toString(36).slice(2, 9)}`;
  const dialog = h(
    'dialog',
    { 'aria-labelledby': id },
    h(
      'div.dialog-head',
      {},
      h('h2', { id }, title),
      h('button.ghost.round', { type: 'button', 'aria-label': t('close'), onclick: () => dialog.close() }, icon('close')),
    ),
    h('div.dialog-body', {}, ...content),
  );
  dialog.addEventListener('close', () => {
    closed();
    dialog.remove();
  });
  // A click beside the dialog is one on the dialog element itself, which its content covers.
  dialog.addEventListener('click', (/** @type {MouseEvent} */ event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks before something that cannot be undone.
 * @param {{title: string, text: string, confirm: string}} question
 * @param {() => void} confirmed
 */
export function askDialog({ title, text, confirm }, confirmed) {
  const dialog = openDialog(title, [
    h('p', {}, text),
    h(
      'div.actions',
      {},
      h('button.secondary', { type: 'button', autofocus: true, onclick: () => dialog.close() }, t('cancel')),
      h(
        'button.danger',
        {
          type: 'button',
          onclick: () => {
            dialog.close();
            confirmed();
          },
        },
        confirm,
      ),
    ),
  ]);
}

/** @param {(key: string) => void} claim */
export function claimDialog(claim) {
  const key = h('input', { type: 'password', autocomplete: 'off', required: true, maxlength: '128', autofocus: true });
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    if (!key.value.trim()) return;
    dialog.close();
    claim(key.value.trim());
  };
  const dialog = openDialog(t('claim.title'), [
    h(
      'form',
      { onsubmit: submit },
      field(t('lobby.hostkey'), key, t('lobby.hostkey.hint')),
      h('div.actions', {}, h('button.primary', { type: 'submit' }, t('claim.do'))),
    ),
  ]);
}

/** @param {import('../app/main.js').App} app */
export function settingsDialog({ store, media, session }) {
  const devices = deviceChoices(store, media, (id) => void session?.playback.setSink(id));
  openDialog(
    t('settings.title'),
    [devices.element, h('div.row', {}, h('span', {}, t('settings.theme')), themeButton()), shortcutSwitch()],
    devices.close,
  );
}

/** @param {boolean} [auto] */
function shortcutSwitch(auto = false) {
  const box = h('input', { type: 'checkbox', checked: pref('shortcuts', true), autofocus: auto, onchange: () => setPref('shortcuts', box.checked) });
  return h('label.row', {}, h('span', {}, t('settings.shortcuts')), box);
}

export function helpDialog() {
  const rows = SHORTCUTS.map(({ keys, label }) => h('tr', {}, h('th', { scope: 'row' }, t(label)), h('td', {}, ...keys.map((key) => h('kbd', {}, key)))));
  openDialog(t('help.title'), [
    h('table.shortcuts', {}, h('caption.hidden', {}, t('help.title')), h('tbody', {}, ...rows)),
    shortcutSwitch(),
    h('p.hint', {}, t('help.hint')),
  ]);
}
