/** The lobby: how I look and sound, under which name I go in. */

import { h, icon, setIcon, setText } from '../app/dom.js';
import { meter } from '../app/media.js';
import { secretsOf, setPref } from '../app/prefs.js';
import { spaced } from '../app/protocol.js';
import { t } from '../app/text.js';
import { deviceChoices } from './devices.js';
import { field, frame, troubleBox } from './frame.js';
import { copyLinkButton } from './link.js';

/** @param {import('../app/main.js').App} app */
export function lobbyView(app) {
  const { store } = app;
  const { number } = store.state;
  const preview = previewBox(app);
  const form = joinForm(app);
  const heading = h('h1', { tabindex: '-1' }, t('lobby.title', { number: spaced(number) }));
  const element = frame(
    h('div.lobby-head', {}, heading, copyLinkButton(store, number)),
    h('div.lobby', {}, preview.element, form.element, preview.devices),
  );
  void app.media.open();
  return {
    element,
    title: t('lobby.title', { number: spaced(number) }),
    close() {
      preview.close();
      form.close();
    },
  };
}

/** @param {import('../app/main.js').App} app */
function previewBox({ store, media }) {
  const video = h('video', { autoplay: true, playsinline: true, tabindex: '-1' });
  video.muted = true;
  const empty = h('p.preview-empty');
  const mic = h('button.round.large', { type: 'button', onclick: () => void media.setMic(!store.state.local.mic.on) });
  const cam = h('button.round.large', { type: 'button', onclick: () => void media.setCam(!store.state.local.cam.on) });
  const bar = h('div.level-bar');
  const level = h('div.level', { role: 'meter', 'aria-label': t('lobby.level'), 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': '0' }, bar);
  const troubles = h('div.troubles');
  const devices = deviceChoices(store, media);
  let stopMeter = () => {};
  /** @type {MediaStreamTrack|null} */
  let metered = null;
  const showLevel = (/** @type {number} */ value) => {
    bar.style.setProperty('--level', String(value));
    level.setAttribute('aria-valuenow', String(Math.round(value * 100)));
  };
  const unwatch = store.watch(['local'], ({ local }) => {
    toggle(mic, 'mic', local.mic.on, t(local.mic.on ? 'mic.off.do' : 'mic.on.do'), local.mic.busy);
    toggle(cam, 'cam', local.cam.on, t(local.cam.on ? 'cam.off.do' : 'cam.on.do'), local.cam.busy);
    const track = media.track('video');
    if ((video.srcObject?.getVideoTracks()[0] ?? null) !== track) video.srcObject = track ? new MediaStream([track]) : null;
    video.hidden = !track;
    setText(empty, track ? '' : t(local.cam.busy ? 'lobby.asking' : 'lobby.camera.off'));
    const sound = media.sent('audio');
    if (sound !== metered) {
      stopMeter();
      metered = sound;
      stopMeter = sound ? meter(sound, showLevel) : () => showLevel(0);
    }
    const found = [local.mic.trouble, local.cam.trouble].filter((one) => one !== null);
    const different = found.filter((one, at) => found.findIndex((other) => other.text === one.text) === at);
    const text = different.map((one) => one.sentences).join();
    if (troubles.dataset.shown !== text) {
      troubles.dataset.shown = text;
      troubles.replaceChildren(...different.map((one) => troubleBox(one)));
    }
  });
  return {
    element: h(
      'section.preview',
      { 'aria-label': t('lobby.preview') },
      h('div.preview-picture', {}, video, empty, h('div.preview-tools', {}, mic, cam)),
      level,
      troubles,
    ),
    devices: devices.element,
    close() {
      unwatch();
      stopMeter();
      devices.close();
      video.srcObject = null;
    },
  };
}

/**
 * A button for something that is on or off.
 * @param {HTMLButtonElement} button
 * @param {string} name of the icon
 * @param {boolean} on
 * @param {string} label
 * @param {boolean} busy
 */
function toggle(button, name, on, label, busy) {
  setIcon(button, on ? name : `${name}-off`);
  button.classList.toggle('off', !on && !busy);
  button.setAttribute('aria-label', label);
  button.title = label;
  button.setAttribute('aria-busy', String(busy));
}

/** @param {import('../app/main.js').App} app */
function joinForm(app) {
  const { store } = app;
  const secrets = secretsOf(store.state.number);
  const name = h('input', { type: 'text', autocomplete: 'name', maxlength: '60', value: store.state.name, required: true });
  name.addEventListener('input', () => name.removeAttribute('aria-invalid'));
  const passcode = h('input', { type: 'password', autocomplete: 'off', maxlength: '64', value: secrets.passcode ?? '' });
  const key = h('input', { type: 'password', autocomplete: 'off', maxlength: '128', value: secrets.hostKey ?? '' });
  const trouble = h('div');
  const stage = h('p.progress', { role: 'status' });
  const button = h('button.primary.wide', { type: 'submit' }, t('lobby.join'));
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    const typed = name.value.trim();
    if (!typed) {
      name.setAttribute('aria-invalid', 'true');
      trouble.replaceChildren(troubleBox(app.trouble('name')));
      name.focus();
      return;
    }
    setPref('name', typed);
    store.update({ name: typed });
    void app.enter({ number: store.state.number, name: typed, passcode: passcode.value, hostKey: key.value.trim() });
  };
  const unwatch = store.watch(['joining', 'trouble'], ({ joining, trouble: failed }) => {
    button.disabled = joining !== '';
    setText(stage, joining ? t(`stage.${joining}`) : '');
    trouble.replaceChildren(...(failed ? [troubleBox(failed)] : []));
    const refused = failed?.code === 'refused';
    passcode.toggleAttribute('aria-invalid', false);
    if (refused) {
      passcode.setAttribute('aria-invalid', 'true');
      passcode.focus();
    }
  });
  return {
    element: h(
      'section.card.join',
      { 'aria-labelledby': 'enter-title' },
      h('h2', { id: 'enter-title' }, t('lobby.enter')),
      h(
        'form',
        { onsubmit: submit, novalidate: true },
        field(t('lobby.name'), name),
        field(t('lobby.passcode'), passcode, t('lobby.passcode.hint')),
        secrets.hostKey
          ? h('p.host-note', {}, icon('crown'), t('lobby.host'))
          : h('details', {}, h('summary', {}, t('lobby.hostkey.ask')), field(t('lobby.hostkey'), key, t('lobby.hostkey.hint'))),
        trouble,
        button,
        stage,
      ),
    ),
    close: unwatch,
  };
}
