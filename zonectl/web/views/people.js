/** The list of participants, and what a host can do. */

import { h, icon, setIcon } from '../app/dom.js';
import { hue, initials } from '../app/layout.js';
import { t } from '../app/text.js';
import { askDialog, claimDialog } from './dialogs.js';
import { copyLinkButton } from './link.js';

/** @typedef {import('../app/protocol.js').Participant} Participant */

/** @param {import('../app/main.js').App} app */
export function peopleView(app) {
  const { store } = app;
  const list = h('ul.people');
  const tools = h('div.people-tools');
  const unwatch = store.watch(['participants', 'me', 'role', 'speaker', 'meeting'], (state) => {
    const focused = document.activeElement?.getAttribute('data-key');
    const sorted = [...state.participants].sort((a, b) => Number(b.id === state.me) - Number(a.id === state.me));
    list.replaceChildren(...sorted.map((person) => personRow(app, person, state)));
    tools.replaceChildren(...hostTools(app, state));
    // Rows are made anew; the keyboard stays where it was.
    if (focused) /** @type {HTMLElement|null} */ (element.querySelector(`[data-key="${CSS.escape(focused)}"]`))?.focus();
  });
  const element = h('div.panel-body', {}, h('div.panel-scroll', { tabindex: '0', role: 'group', 'aria-label': t('people.title') }, list), tools);
  return { element, close: unwatch };
}

/**
 * @param {import('../app/main.js').App} app
 * @param {Participant} person
 * @param {import('../app/state.js').State} state
 */
function personRow(app, person, { me, role, speaker }) {
  const self = person.id === me;
  const avatar = h('span.avatar.small', { 'aria-hidden': 'true', style: { '--hue': String(hue(self ? 'self' : person.id)) } }, initials(person.name));
  const notes = [
    self ? t('people.you') : '',
    person.role === 'participant' ? '' : t(`role.${person.role}`),
    person.away ? t('tile.away') : '',
    person.sharing ? t('tile.sharing') : '',
  ];
  const flag = (/** @type {boolean} */ on, /** @type {string} */ name, /** @type {string} */ label) =>
    h(`span.flag${on ? '' : '.off'}`, { role: 'img', 'aria-label': t(label), title: t(label) }, icon(on ? name : `${name}-off`));
  return h(
    `li.person${person.id === speaker ? '.speaking' : ''}`,
    {},
    avatar,
    h('span.person-name', {}, h('strong', {}, person.name), h('small', {}, notes.filter(Boolean).join(' · '))),
    flag(person.audio, 'mic', person.audio ? 'people.audio' : 'tile.muted'),
    flag(person.video, 'cam', person.video ? 'people.video' : 'people.novideo'),
    role === 'host' && !self ? hostActions(app, person) : null,
  );
}

/** @param {import('../app/main.js').App} app @param {Participant} person */
function hostActions(app, person) {
  const { id, name } = person;
  const remove = () =>
    askDialog({ title: t('remove.title', { name }), text: t('remove.text'), confirm: t('remove.do') }, () => app.session?.hostRemove(id));
  const action = (/** @type {string} */ key, /** @type {string} */ image, /** @type {string} */ label, /** @type {() => void} */ run) =>
    h('button.ghost.round.small', { type: 'button', 'data-key': `${key}-${id}`, 'aria-label': label, title: label, onclick: run }, icon(image));
  return h(
    'span.person-actions',
    {},
    action('audio', person.audio ? 'mic-off' : 'mic', t(person.audio ? 'people.mute' : 'people.unmute', { name }), () =>
      app.session?.hostMute(id, 'audio', person.audio)),
    person.video ? action('video', 'cam-off', t('people.stopvideo', { name }), () => app.session?.hostMute(id, 'video', true)) : null,
    person.sharing ? action('content', 'screen', t('people.stopshare', { name }), () => app.session?.hostMute(id, 'content', true)) : null,
    action('remove', 'remove', t('people.remove', { name }), remove),
  );
}

/** @param {import('../app/main.js').App} app @param {import('../app/state.js').State} state */
function hostTools(app, { role, meeting, number, participants, me }) {
  const link = copyLinkButton(app.store, number);
  link.setAttribute('data-key', 'link');
  if (role !== 'host') {
    return [link, h('button.ghost', { type: 'button', 'data-key': 'claim', onclick: () => claimDialog((key) => app.session?.claimHost(key)) }, icon('crown'), t('claim.title'))];
  }
  const locked = meeting?.locked ?? false;
  const lock = h('button.ghost', { type: 'button', 'data-key': 'lock', 'aria-pressed': String(locked), onclick: () => app.session?.hostLock(!locked) }, t('people.lock'));
  setIcon(lock, locked ? 'lock' : 'unlock');
  const others = participants.filter((one) => one.id !== me && one.audio);
  const muteAll = () => others.forEach((one) => app.session?.hostMute(one.id, 'audio', true));
  const end = () => askDialog({ title: t('end.title'), text: t('end.text'), confirm: t('end.do') }, () => app.session?.hostEnd());
  return [
    link,
    lock,
    h('button.ghost', { type: 'button', 'data-key': 'muteall', disabled: others.length === 0, onclick: muteAll }, icon('mic-off'), t('people.muteall')),
    h('button.ghost.danger-text', { type: 'button', 'data-key': 'end', onclick: end }, icon('leave'), t('end.do')),
  ];
}
