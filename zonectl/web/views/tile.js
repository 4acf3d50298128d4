/** One person's tile: picture or initials, name, what is off, and whether they speak. */

import { h, icon, setAttribute, setText } from '../app/dom.js';
import { hue, initials } from '../app/layout.js';
import { t } from '../app/text.js';

/** @typedef {{video: HTMLVideoElement|null, paused: boolean}} Picture */

/** How long a picture may take before the still one of before is given up. */
const STILL_MS = 2500;
/** How long a picture must be paused before the tile says so: shorter pauses belong to a change of who is seen. */
const PAUSE_MS = 700;

export class Tile {
  #name = h('span.tile-name');
  #flags = h('span.tile-flags');
  #note = h('span.tile-note');
  #avatar = h('div.avatar', { 'aria-hidden': 'true' });
  #still = h('canvas.still', { hidden: true, 'aria-hidden': 'true' });
  /** @type {HTMLVideoElement|null} */
  #video = null;
  /** Counts up with each new picture: what a former one reports later is ignored. */
  #turn = 0;
  #seen = false;
  #shown = '';
  #paused = false;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #pausing;

  /**
   * @param {string} id of the participant
   * @param {{onPin?: () => void}} [options]
   */
  constructor(id, { onPin } = {}) {
    this.id = id;
    this.pin = onPin ? h('button.tile-pin.round.small', { type: 'button', onclick: onPin }, icon('pin')) : null;
    const label = h('div.tile-label', {}, this.#flags, this.#name);
    this.element = h('li.tile', {}, this.#avatar, this.#still, this.#note, label, this.pin);
    this.#avatar.style.setProperty('--hue', String(hue(id)));
    if (onPin) this.element.addEventListener('dblclick', onPin);
  }

  /**
   * @param {{name: string, self: boolean, audio: boolean, sharing: boolean, host: boolean, away: boolean, speaking: boolean, pinned: boolean}} person
   */
  setPerson(person) {
    const shown = JSON.stringify(person);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const { name, self, audio, sharing, host, away, speaking, pinned } = person;
    setText(this.#name, self ? t('tile.you', { name }) : name);
    setText(this.#avatar, initials(name));
    this.element.classList.toggle('speaking', speaking);
    this.element.classList.toggle('self', self);
    this.element.classList.toggle('away', away);
    /** @type {[boolean, string, string][]} */
    const flags = [
      [!audio, 'mic-off', 'tile.muted'],
      [host, 'crown', 'tile.host'],
      [sharing, 'screen', 'tile.sharing'],
    ];
    this.#flags.replaceChildren(
      ...flags.filter(([on]) => on).map(([, name, label]) => h('span.flag', { role: 'img', 'aria-label': t(label), title: t(label) }, icon(name))),
    );
    this.#setNote();
    if (this.pin) {
      setAttribute(this.pin, 'aria-pressed', String(pinned));
      setAttribute(this.pin, 'aria-label', t('tile.pin', { name }));
      this.pin.title = t('tile.pin', { name });
    }
  }

  /**
   * Shows a video element, or none. Until the new one has a frame, the last picture of this person stays as a still. Of a picture that the box has
   * paused nothing stays: the tile says so in words.
   * @param {Picture} picture
   */
  setPicture({ video, paused }) {
    if (!paused) {
      clearTimeout(this.#pausing);
      this.#pausing = undefined;
      this.#setPaused(false);
    } else if (!this.#paused && this.#pausing === undefined) {
      this.#pausing = setTimeout(() => this.#setPaused(true), PAUSE_MS);
    }
    this.#setNote();
    if (video === this.#video && (!video || video.parentElement === this.element)) return;
    this.#keepStill(video !== null);
    this.#turn++;
    if (this.#video && this.#video.parentElement === this.element) this.#video.remove();
    this.#video = video;
    this.#seen = false;
    this.element.classList.remove('playing');
    if (video) this.#adopt(video, this.#turn);
  }

  /** @param {boolean} paused */
  #setPaused(paused) {
    if (paused === this.#paused) return;
    this.#paused = paused;
    this.element.classList.toggle('paused', paused);
    this.#setNote();
  }

  #setNote() {
    const away = this.element.classList.contains('away');
    setText(this.#note, away ? t('tile.away') : this.#paused ? t('tile.paused') : '');
    this.#note.title = this.#paused && !away ? t('tile.paused.why') : '';
  }

  /** Whether a picture of this person is on the screen. */
  get playing() {
    return this.#seen;
  }

  /** @param {HTMLVideoElement} video @param {number} turn */
  #adopt(video, turn) {
    this.element.insertBefore(video, this.#still);
    // Moving an element pauses it.
    void video.play().catch(() => {});
    const seen = () => {
      if (turn !== this.#turn) return;
      this.#seen = true;
      this.element.classList.add('playing');
      this.#still.hidden = true;
    };
    const onFrame = video.requestVideoFrameCallback;
    if (onFrame) onFrame.call(video, seen);
    else video.addEventListener('timeupdate', seen, { once: true });
  }

  /** Draws the present picture on the canvas that covers what follows. @param {boolean} more whether another picture follows */
  #keepStill(more) {
    const video = this.#video;
    if (!more) {
      this.#still.hidden = true;
      return;
    }
    if (!video || !this.#seen || video.videoWidth === 0 || video.parentElement !== this.element) return;
    this.#still.width = video.videoWidth;
    this.#still.height = video.videoHeight;
    this.#still.getContext('2d')?.drawImage(video, 0, 0);
    this.#still.hidden = false;
    const turn = this.#turn + 1;
    setTimeout(() => {
      if (turn === this.#turn) this.#still.hidden = true;
    }, STILL_MS);
  }
}
