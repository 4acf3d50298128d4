/**
 * Which pictures are asked of the box: those that the screen shows at this moment, as high as it shows them. Nothing is asked of what is on another
 * page, behind a panel, or in a window that nobody sees.
 */

import { assignSlots, changedViews, viewsOf } from './layout.js';

/** @typedef {import('./protocol.js').View} View */
/** @typedef {{element: HTMLElement, priority: number}} Shown */

/** How long the screen must be quiet before anything is asked, and how long a window must be out of sight before its pictures are given back. */
const QUIET_MS = 150;
const HIDDEN_MS = 1000;

export class Asking {
  #app;
  /** Who was asked for in each slot, "" for nobody. @type {string[]} */
  #slots = [];
  /** What the box was last told. @type {View[]} */
  #asked = [];
  /** @type {Map<string, Shown>} */
  #tiles = new Map();
  #covered = false;
  #gone = false;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #leaving;
  #visibility = () => this.#seen();
  #density = new AbortController();

  /** @param {import('./main.js').App} app */
  constructor(app) {
    this.#app = app;
    document.addEventListener('visibilitychange', this.#visibility);
    this.#visibility();
    this.#watchDensity();
  }

  /** How many pictures may be asked for at once: what the box has offered. */
  get capacity() {
    return this.#app.session?.videoSlots ?? 0;
  }

  /**
   * The tiles that want a picture, the most important first.
   * @param {Map<string, Shown>} tiles by participant
   * @param {boolean} covered whether something covers them all
   */
  want(tiles, covered) {
    this.#tiles = tiles;
    this.#covered = covered;
    this.#later(QUIET_MS);
  }

  /** Everything is asked again: the box may have forgotten. */
  forget() {
    this.#asked = [];
  }

  close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#leaving);
    document.removeEventListener('visibilitychange', this.#visibility);
    this.#density.abort();
  }

  /** A window that moves to another screen has other pixels, at the same size. */
  #watchDensity() {
    const changed = () => {
      this.#later(QUIET_MS);
      this.#watchDensity();
    };
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener('change', changed, { once: true, signal: this.#density.signal });
  }

  #seen() {
    clearTimeout(this.#leaving);
    if (document.hidden) {
      this.#leaving = setTimeout(() => {
        this.#gone = true;
        this.#send();
      }, HIDDEN_MS);
    } else if (this.#gone) {
      this.#gone = false;
      this.#send();
    }
  }

  /** @param {number} wait */
  #later(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#send(), wait);
  }

  /** Heights are measured only now, when the layout has settled. */
  #send() {
    if (!this.#app.store.state.online || !this.#app.session?.offered) return;
    /** @type {Map<string, {height: number, priority: number}>} */
    const wanted = new Map();
    if (!this.#covered && !this.#gone) {
      for (const [id, { element, priority }] of this.#tiles) {
        if (element.clientHeight > 0) wanted.set(id, { height: element.clientHeight * (devicePixelRatio || 1), priority });
      }
    }
    if (this.#slots.length !== this.capacity) this.#slots = Array.from({ length: this.capacity }, (_, at) => this.#slots[at] ?? '');
    this.#slots = assignSlots(this.#slots, [...wanted.keys()]);
    const views = viewsOf(this.#slots, wanted);
    const changed = changedViews(this.#asked, views);
    if (changed.length > 0 && this.#app.session.setViews(changed)) this.#asked = views;
  }
}
