/** The first page: start a meeting, or join one by its number. */

import { h, icon } from '../app/dom.js';
import { Trouble } from '../app/errors.js';
import { startMeeting } from '../app/lookup.js';
import { keepSecrets } from '../app/prefs.js';
import { cut, MAX_TITLE, meetingNumber } from '../app/protocol.js';
import { t } from '../app/text.js';
import { field, frame, troubleBox } from './frame.js';

/** @param {import('../app/main.js').App} app */
export function homeView(app) {
  const element = frame(
    h('div.hero', {}, h('h1', { tabindex: '-1' }, t('home.title')), h('p.lead', {}, t('home.lead'))),
    h('div.cards', {}, joinCard(app), startCard(app)),
  );
  return { element, title: t('home.title'), close() {} };
}

/** @param {import('../app/main.js').App} app */
function joinCard(app) {
  const number = h('input.number', { type: 'text', inputmode: 'numeric', autocomplete: 'off', required: true, placeholder: '123 456 789' });
  const trouble = h('div');
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    const digits = meetingNumber(number.value);
    if (/^\d{3,20}$/.test(digits)) app.open(digits);
    else {
      trouble.replaceChildren(troubleBox(new Trouble('number')));
      number.focus();
    }
  };
  return h(
    'section.card',
    { 'aria-labelledby': 'join-title' },
    h('h2', { id: 'join-title' }, t('home.join')),
    h(
      'form',
      { onsubmit: submit, novalidate: true },
      field(t('home.number'), number, t('home.number.hint')),
      trouble,
      h('button.primary', { type: 'submit' }, t('home.join.do'), icon('next')),
    ),
  );
}

/** @param {import('../app/main.js').App} app */
function startCard(app) {
  const title = h('input', { type: 'text', maxlength: '100', autocomplete: 'off' });
  const passcode = h('input', { type: 'text', maxlength: '64', autocomplete: 'off', spellcheck: 'false' });
  const trouble = h('div');
  const button = h('button.secondary', { type: 'submit' }, icon('cam'), t('home.start.do'));
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    trouble.replaceChildren();
    try {
      const started = await startMeeting({ title: cut(title.value.trim(), MAX_TITLE) || undefined, passcode: passcode.value || undefined });
      keepSecrets(started.meeting.number, { hostKey: started.host_key, passcode: passcode.value, link: started.link });
      app.open(started.meeting.number);
    } catch (thrown) {
      trouble.replaceChildren(troubleBox(Trouble.of(thrown)));
      button.disabled = false;
      button.focus();
    }
  };
  return h(
    'section.card',
    { 'aria-labelledby': 'start-title' },
    h('h2', { id: 'start-title' }, t('home.start')),
    h(
      'form',
      { onsubmit: submit },
      field(t('home.start.title'), title),
      field(t('home.start.passcode'), passcode, t('home.start.passcode.hint')),
      trouble,
      button,
    ),
  );
}
