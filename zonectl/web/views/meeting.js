/** The meeting: head, stage, panel and tools. */

import { h, icon, setAttribute, setIcon, setText } from '../app/dom.js';
import { canShare } from '../app/media.js';
import { setPref } from '../app/prefs.js';
import { spaced } from '../app/protocol.js';
import { t } from '../app/text.js';
import { chatView } from './chat.js';
import { connectionView } from './connection.js';
import { askDialog, helpDialog, settingsDialog } from './dialogs.js';
import { drainView } from './drain.js';
import { brand } from './frame.js';
import { copyLink } from './link.js';
import { peopleView } from './people.js';
import { listenForShortcuts } from './shortcuts.js';
import { Stage } from './stage.js';

/** @typedef {import('../app/state.js').Panel} Panel */

const PANELS = { people: peopleView, chat: chatView, connection: connectionView };

/** @param {import('../app/main.js').App} app */
export function meetingView(app) {
  const { store } = app;
  const stage = new Stage(app);
  const commands = commandsOf(app, stage);
  const tools = toolbar(app, commands);
  const panel = sidePanel(app, tools.buttons);
  const head = meetingHead(app, commands);
  const drain = drainView(app);
  const stop = listenForShortcuts(commands);
  const element = h('div.meeting', {}, head.element, drain.element, h('main.meeting-main', { id: 'main' }, stage.element, panel.element), tools.element);
  const { meeting, number } = store.state;
  return {
    element,
    title: meeting?.title || t('meeting.title', { number: spaced(number) }),
    close() {
      stop();
      stage.close();
      panel.close();
      tools.close();
      head.close();
      drain.close();
      for (const dialog of document.querySelectorAll('dialog')) dialog.close();
    },
  };
}

/**
 * What keys and buttons do.
 * @param {import('../app/main.js').App} app
 * @param {Stage} stage
 * @returns {Record<import('./shortcuts.js').Command, () => void>}
 */
function commandsOf(app, stage) {
  const { store } = app;
  const open = (/** @type {Panel} */ panel) => store.update({ panel: store.state.panel === panel ? '' : panel });
  return {
    mute: () => void app.session?.setMicrophone(!store.state.local.mic.on),
    camera: () => void app.session?.setCamera(!store.state.local.cam.on),
    share: () => void (store.state.local.screen.on ? app.session?.stopSharing() : app.session?.startSharing()),
    chat: () => open('chat'),
    people: () => open('people'),
    connection: () => open('connection'),
    layout: () => {
      const layout = store.state.layout === 'grid' ? 'speaker' : 'grid';
      setPref('layout', layout);
      store.update({ layout, pinned: '' });
    },
    pin: () => stage.pin(),
    previous: () => stage.turn(-1),
    next: () => stage.turn(1),
    help: helpDialog,
    leave: () => askDialog({ title: t('leave.title'), text: t('leave.text'), confirm: t('leave.do') }, () => app.session?.leave()),
    escape: () => store.update({ panel: '' }),
  };
}

/** @param {import('../app/main.js').App} app @param {ReturnType<typeof commandsOf>} commands */
function meetingHead(app, commands) {
  const { store } = app;
  const title = h('h1', { tabindex: '-1' });
  const locked = h('span.flag', { role: 'img', 'aria-label': t('meeting.locked'), title: t('meeting.locked') }, icon('lock'));
  const status = h('p.status', { role: 'status' });
  const unblock = h('button.primary.small', { type: 'button', onclick: () => void app.session?.playback.unblock() }, icon('sound'), t('meeting.unblock'));
  const round = (/** @type {string} */ image, /** @type {string} */ label, /** @type {() => void} */ run) =>
    h('button.ghost.round', { type: 'button', 'aria-label': label, title: label, onclick: run }, icon(image));
  const layout = round('grid', '', commands.layout);
  const unwatch = store.watch(['meeting', 'online', 'media', 'blocked', 'layout', 'number'], ({ meeting, number, online, media, blocked, layout: shape }) => {
    setText(title, meeting?.title || spaced(number));
    locked.hidden = !meeting?.locked;
    const text = !online ? t('meeting.offline') : media === 'connected' ? '' : t(`meeting.${media}`);
    setText(status, text);
    status.classList.toggle('bad', !online || media === 'failed' || media === 'disconnected');
    unblock.hidden = !blocked;
    setIcon(layout, shape === 'grid' ? 'speaker' : 'grid');
    const label = t(shape === 'grid' ? 'layout.speaker' : 'layout.grid');
    layout.setAttribute('aria-label', label);
    layout.title = label;
  });
  const element = h(
    'header.meeting-head',
    {},
    brand(),
    h('div.meeting-title', {}, title, locked, h('span.meeting-number', {}, spaced(store.state.number))),
    status,
    unblock,
    h(
      'div.meeting-tools',
      {},
      round('copy', t('link.copy'), () => void copyLink(store, store.state.number)),
      layout,
      round('settings', t('settings.title'), () => settingsDialog(app)),
      round('help', t('help.title'), commands.help),
    ),
  );
  // In a meeting the name of the product leads nowhere, so that no click ends the meeting by mistake.
  element.querySelector('a.brand')?.replaceWith(h('span.brand', {}, ...element.querySelector('a.brand').childNodes));
  return { element, close: unwatch };
}

/** @param {import('../app/main.js').App} app @param {ReturnType<typeof commandsOf>} commands */
function toolbar({ store }, commands) {
  const button = (/** @type {string} */ key, /** @type {string} */ image, /** @type {() => void} */ run, more = {}) => {
    const text = h('span.tool-text');
    const element = h('button.tool', { type: 'button', 'aria-keyshortcuts': key, onclick: run, ...more }, text);
    setIcon(element, image);
    return { element, text };
  };
  const mic = button('M', 'mic', commands.mute);
  const cam = button('V', 'cam', commands.camera);
  const share = button('S', 'screen', commands.share);
  const people = button('P', 'people', commands.people, { 'aria-expanded': 'false', 'aria-controls': 'panel' });
  const chat = button('C', 'chat', commands.chat, { 'aria-expanded': 'false', 'aria-controls': 'panel' });
  const connection = button('I', 'signal', commands.connection, { 'aria-expanded': 'false', 'aria-controls': 'panel' });
  const leave = button('Q', 'leave', commands.leave);
  leave.element.classList.add('leave');
  share.element.hidden = !canShare();
  const count = h('span.count', { 'aria-hidden': 'true' });
  people.element.append(count);
  const unread = h('span.count.alert');
  chat.element.append(unread);
  setText(leave.text, t('leave.do'));
  const unwatch = store.watch(['local', 'participants', 'unread', 'panel', 'quality'], ({ local, participants, unread: waiting, panel, quality }) => {
    const poor = worstOf(quality) < POOR;
    setText(connection.text, t(poor ? 'connection.poor' : 'connection.short'));
    connection.element.classList.toggle('poor', poor);
    toggled(mic, 'mic', local.mic, 'mic');
    toggled(cam, 'cam', local.cam, 'cam');
    setText(share.text, t(local.screen.on ? 'share.stop' : 'share.do'));
    share.element.classList.toggle('active', local.screen.on);
    setText(people.text, t('people.title'));
    setText(count, String(participants.length));
    setText(chat.text, t('chat.title'));
    setText(unread, waiting ? t('chat.unread', { n: waiting }) : '');
    unread.hidden = waiting === 0;
    for (const [name, { element }] of Object.entries({ people, chat, connection })) setAttribute(element, 'aria-expanded', String(panel === name));
  });
  const element = h(
    'nav.toolbar',
    { 'aria-label': t('toolbar.label') },
    ...[mic, cam, share, people, chat, connection, leave].map((one) => one.element),
  );
  return { element, close: unwatch, buttons: { people: people.element, chat: chat.element, connection: connection.element } };
}

/** Below which score people notice; docs/quality.md says what a score is. */
const POOR = 2.5;

/** The worst score of the own media, 5 where nothing was judged. @param {import('../app/protocol.js').MediumQuality[]} quality */
function worstOf(quality) {
  return Math.min(5, ...quality.flatMap(({ up, down }) => [up, down]).map((flow) => flow?.score ?? 5));
}

/**
 * @param {{element: HTMLElement, text: HTMLElement}} button
 * @param {string} image
 * @param {import('../app/media.js').DeviceState} device
 * @param {'mic'|'cam'} name
 */
function toggled({ element, text }, image, device, name) {
  setIcon(element, device.on ? image : `${image}-off`);
  element.classList.toggle('off', !device.on);
  setText(text, t(device.on ? `${name}.off.do` : `${name}.on.do`));
  element.setAttribute('aria-busy', String(device.busy));
}

/**
 * The panel beside the stage: one of three, or none. Opening moves the focus into it, closing back to its button.
 * @param {import('../app/main.js').App} app
 * @param {Record<'people'|'chat'|'connection', HTMLElement>} buttons
 */
function sidePanel(app, buttons) {
  const element = h('aside.panel', { id: 'panel', hidden: true });
  /** @type {{element: HTMLElement, focus?: HTMLElement, close: () => void}|null} */
  let view = null;
  /** @type {Panel} */
  let open = '';
  const unwatch = app.store.watch(['panel'], ({ panel }) => {
    if (panel === open) return;
    const left = open;
    open = panel;
    const inside = element.contains(document.activeElement);
    view?.close();
    view = null;
    element.hidden = panel === '';
    element.replaceChildren();
    if (panel === '') {
      if (inside && left) buttons[left].focus();
      return;
    }
    view = PANELS[panel](app);
    const heading = h('h2', { id: 'panel-title', tabindex: '-1' }, t(`${panel}.title`));
    const shut = h('button.ghost.round', { type: 'button', 'aria-label': t('close'), onclick: () => app.store.update({ panel: '' }) }, icon('close'));
    element.setAttribute('aria-labelledby', 'panel-title');
    element.append(h('div.panel-head', {}, heading, shut), view.element);
    (view.focus ?? heading).focus();
    if (panel === 'chat') app.store.update({ unread: 0 });
  });
  return {
    element,
    close() {
      unwatch();
      view?.close();
    },
  };
}
