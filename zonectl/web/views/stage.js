/** The stage: everybody's tiles, the shared content, and the pages. What it shows is what Asking asks for. */

import { h, icon, setText } from '../app/dom.js';
import { Asking } from '../app/asking.js';
import { capacityOf, GAP, gridOf, MAX_TILES, narrowestOf, ordered, pageOf } from '../app/layout.js';
import { t } from '../app/text.js';
import { Tile } from './tile.js';

/** @typedef {import('../app/state.js').State} State */

const SELF = 'self';
const CONTENT = 'content';
/** Where a panel covers the stage; style/panels.css says the same. */
const COVERED = matchMedia('(max-width: 700px)');
/** How far a finger must travel to turn the page, in CSS pixels. */
const SWIPE = 60;

export class Stage {
  #app;
  #list = h('ul.tiles', { 'aria-label': t('stage.label') });
  #pager = h('div.pager');
  #pageText = h('span', { role: 'status' });
  #waiting = h('div.waiting');
  #banner = h('div.share-banner', { hidden: true });
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  #asking;
  #selfVideo;
  #observer = new ResizeObserver(() => this.#draw(this.#app.store.state));
  #unwatch;
  #page = { page: 0, pages: 1 };

  /** @param {import('../app/main.js').App} app */
  constructor(app) {
    this.#app = app;
    this.#asking = new Asking(app);
    this.#selfVideo = h('video', { autoplay: true, playsinline: true, tabindex: '-1' });
    this.#selfVideo.muted = true;
    this.#pager.append(
      h('button.round', { type: 'button', 'aria-label': t('stage.previous'), onclick: () => this.turn(-1) }, icon('previous')),
      this.#pageText,
      h('button.round', { type: 'button', 'aria-label': t('stage.next'), onclick: () => this.turn(1) }, icon('next')),
    );
    this.#banner.append(
      icon('screen'),
      h('span', {}, t('share.you')),
      h('button.danger.small', { type: 'button', onclick: () => app.session?.stopSharing() }, t('share.stop')),
    );
    this.element = h('section.stage', { 'aria-label': t('stage.label') }, this.#banner, this.#list, this.#waiting, this.#pager);
    this.#list.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => this.#steer(event));
    listenForSwipes(this.#list, (by) => this.turn(by));
    this.#observer.observe(this.#list);
    this.#unwatch = app.store.watch(
      ['participants', 'slots', 'speaker', 'layout', 'pinned', 'page', 'videos', 'local', 'online', 'me', 'role', 'panel'],
      (state) => this.#draw(state),
    );
  }

  /** @param {number} by pages */
  turn(by) {
    const page = Math.min(Math.max(0, this.#page.page + by), this.#page.pages - 1);
    this.#app.store.update({ page });
  }

  /** Shows whoever has the focus, or spoke last, large; or lets go again. */
  pin() {
    const { pinned, participants, spoke, me } = this.#app.store.state;
    const tile = document.activeElement?.closest('.tile');
    const focused = [...this.#tiles.values()].find((one) => one.pin && one.element === tile)?.id;
    const last = lastOf(spoke, participants.filter((one) => one.id !== me));
    this.#app.store.update({ pinned: pinned ? '' : focused ?? last ?? '' });
  }

  close() {
    this.#unwatch();
    this.#observer.disconnect();
    this.#asking.close();
    this.#selfVideo.srcObject = null;
  }

  /** Places the tiles and asks for their pictures. @param {State} state */
  #draw(state) {
    // After a lost connection everything is asked again: the session may be a new one.
    if (!state.online) this.#asking.forget();
    const others = state.participants.filter((one) => one.id !== state.me && one.role !== 'viewer');
    const content = state.slots.find((slot) => slot.medium === 'content' && slot.participant && slot.participant !== state.me);
    const main = this.#main(state, others, content?.participant);
    const { clientWidth: width, clientHeight: height } = this.#list;
    const { page, sizes } = this.#place(state, others, main, width, height);
    this.#page = page;
    this.#list.classList.toggle('with-main', main !== '');
    this.#list.classList.toggle('beside', main !== '' && isWide(width, height));
    this.#list.style.setProperty('--tile-width', `${sizes.width}px`);
    this.#show(state, main ? [main, ...page.items] : page.items);
    this.#pager.hidden = page.pages < 2;
    setText(this.#pageText, t('stage.page', { page: page.page + 1, pages: page.pages }));
    this.#waiting.replaceChildren(...(others.length === 0 && state.online ? [h('p', {}, t('stage.alone'))] : []));
    this.#banner.hidden = !state.local.screen.on;
    this.#ask(main, page.items, others, state.panel !== '' && COVERED.matches);
  }

  /**
   * Who stands large: what is shared, whoever is pinned, or in speaker view who speaks or spoke last. "" in the grid.
   * @param {State} state
   * @param {import('../app/protocol.js').Participant[]} others
   * @param {string|undefined} sharer
   */
  #main(state, others, sharer) {
    if (sharer) return CONTENT;
    if (others.some((one) => one.id === state.pinned)) return state.pinned;
    if (state.layout !== 'speaker' || others.length === 0) return '';
    return lastOf(state.spoke, others) ?? '';
  }

  /**
   * One page of tiles and their size.
   * @param {State} state
   * @param {import('../app/protocol.js').Participant[]} others
   * @param {string} main
   * @param {number} width
   * @param {number} height
   */
  #place(state, others, main, width, height) {
    const slots = this.#asking.capacity;
    const ids = others.map((one) => one.id).filter((id) => id !== main);
    if (main) {
      // A strip beside or below the large one; style/meeting.css says where.
      const beside = isWide(width, height);
      const strip = beside ? Math.floor((height + GAP) / (112 + GAP)) : Math.floor((width + GAP) / (110 + GAP));
      const page = pageOf(ids, state.page, Math.max(1, Math.min(strip - 1, slots - 1)));
      return { page: { ...page, items: [...page.items, SELF] }, sizes: { columns: 1, width: beside ? 200 : 110, height: beside ? 112 : 62, rows: 1 } };
    }
    const capacity = Math.max(2, Math.min(capacityOf(width, height, GAP, narrowestOf(width)), MAX_TILES, slots + 1));
    const page = pageOf(ordered(ids, state.spoke, capacity - 1), state.page, capacity - 1);
    return { page: { ...page, items: [...page.items, SELF] }, sizes: gridOf(page.items.length + 1, width, height, GAP) };
  }

  /** @param {State} state @param {string[]} ids */
  #show(state, ids) {
    const focused = this.#list.contains(document.activeElement);
    for (const [id, tile] of this.#tiles) {
      if (ids.includes(id)) continue;
      tile.setPicture({ video: null, paused: false });
      tile.element.remove();
      this.#tiles.delete(id);
    }
    ids.forEach((id, at) => {
      const tile = this.#tile(id);
      if (this.#list.children[at] !== tile.element) this.#list.insertBefore(tile.element, this.#list.children[at] ?? null);
      tile.element.classList.toggle('main', at === 0 && this.#list.classList.contains('with-main'));
      tile.element.classList.toggle('content', id === CONTENT);
      this.#fill(tile, state);
    });
    const pins = this.#pins();
    this.#rove(pins.find((pin) => pin.tabIndex === 0) ?? pins[0]);
    if (focused && !this.#list.contains(document.activeElement)) pins[0]?.focus();
  }

  /** The buttons of the tiles, in the order on the screen. */
  #pins() {
    return /** @type {HTMLButtonElement[]} */ ([...this.#list.querySelectorAll('.tile-pin')]);
  }

  /** The Tab key stops once at the tiles; arrows go on from there. @param {HTMLButtonElement|undefined} at */
  #rove(at) {
    for (const pin of this.#pins()) pin.tabIndex = pin === at ? 0 : -1;
  }

  /** @param {KeyboardEvent} event */
  #steer(event) {
    const from = event.target instanceof Element ? event.target.closest('.tile-pin') : null;
    if (!from) return;
    const to = neighbour(this.#pins(), from, event.key);
    if (!to) return;
    event.preventDefault();
    this.#rove(to);
    to.focus();
  }

  /** @param {string} id */
  #tile(id) {
    let tile = this.#tiles.get(id);
    if (!tile) {
      const pin = () => this.#app.store.update({ pinned: this.#app.store.state.pinned === id ? '' : id });
      tile = new Tile(id, id === SELF || id === CONTENT ? {} : { onPin: pin });
      this.#tiles.set(id, tile);
    }
    return tile;
  }

  /** @param {Tile} tile @param {State} state */
  #fill(tile, state) {
    if (tile.id === SELF) {
      this.#fillSelf(tile, state);
      return;
    }
    const medium = tile.id === CONTENT ? 'content' : 'video';
    const slot = state.slots.find((one) => one.medium === medium && one.participant && (tile.id === CONTENT || one.participant === tile.id));
    const person = state.participants.find((one) => one.id === (tile.id === CONTENT ? slot?.participant : tile.id));
    const name = person?.name ?? '';
    tile.setPerson({
      name: tile.id === CONTENT ? t('stage.content', { name }) : name,
      self: false,
      audio: tile.id === CONTENT || (person?.audio ?? false),
      sharing: tile.id !== CONTENT && (person?.sharing ?? false),
      host: tile.id !== CONTENT && person?.role === 'host',
      away: person?.away ?? false,
      speaking: tile.id !== CONTENT && state.speaker === tile.id,
      pinned: state.pinned === tile.id,
    });
    const sends = tile.id === CONTENT || person?.video;
    const video = slot && sends ? this.#app.session?.playback.video(slot.mid) ?? null : null;
    tile.setPicture({ video, paused: Boolean(sends && slot?.paused) });
  }

  /** @param {Tile} tile @param {State} state */
  #fillSelf(tile, { name, local, role, me, speaker }) {
    tile.setPerson({
      name, self: true, audio: local.mic.on, sharing: local.screen.on, host: role === 'host', away: false, speaking: speaker === me && me !== '', pinned: false,
    });
    const track = this.#app.media.track('video');
    const shown = this.#selfVideo.srcObject?.getVideoTracks()[0] ?? null;
    if (shown !== track) this.#selfVideo.srcObject = track ? new MediaStream([track]) : null;
    tile.setPicture({ video: track ? this.#selfVideo : null, paused: false });
  }

  /**
   * Asks for the pictures of the tiles, the large one first; those who send no picture need no slot.
   * @param {string} main
   * @param {string[]} items
   * @param {import('../app/protocol.js').Participant[]} others
   * @param {boolean} covered
   */
  #ask(main, items, others, covered) {
    const sending = new Set(others.filter((one) => one.video).map((one) => one.id));
    /** @type {Map<string, import('../app/asking.js').Shown>} */
    const tiles = new Map();
    for (const id of [main, ...items]) {
      const tile = this.#tiles.get(id);
      if (tile && sending.has(id)) tiles.set(id, { element: tile.element, priority: id === main ? 2 : 1 });
    }
    this.#asking.want(tiles, covered);
  }
}

/**
 * Who of some people spoke last, or came first where nobody spoke.
 * @param {Map<string, number>} spoke
 * @param {import('../app/protocol.js').Participant[]} people
 */
function lastOf(spoke, people) {
  const when = (/** @type {{id: string}} */ { id }) => spoke.get(id) ?? 0;
  return people.reduce((last, one) => (when(one) > when(last) ? one : last), people[0])?.id;
}

/** Whether the strip of small tiles fits better beside the large one than below it. @param {number} width @param {number} height */
function isWide(width, height) {
  return width > height * 1.1;
}

/**
 * The element that an arrow key leads to: the nearest one in its direction.
 * @template {Element} E
 * @param {E[]} all
 * @param {Element} from
 * @param {string} key
 * @returns {E|undefined}
 */
function neighbour(all, from, key) {
  if (key === 'Home') return all[0];
  if (key === 'End') return all[all.length - 1];
  const way = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] })[key];
  if (!way) return undefined;
  const here = from.getBoundingClientRect();
  /** @type {[number, E|undefined]} */
  let best = [Infinity, undefined];
  for (const one of all) {
    const there = one.getBoundingClientRect();
    const x = there.x - here.x;
    const y = there.y - here.y;
    const along = x * way[0] + y * way[1];
    const aside = Math.abs(x * way[1]) + Math.abs(y * way[0]);
    if (along > 4 && along + 3 * aside < best[0]) best = [along + 3 * aside, one];
  }
  return best[1];
}

/**
 * Turns pages by a finger.
 * @param {HTMLElement} element
 * @param {(by: number) => void} turn
 */
function listenForSwipes(element, turn) {
  /** @type {Touch|null} */
  let start = null;
  element.addEventListener('touchstart', (event) => (start = event.touches.length === 1 ? event.touches[0] : null), { passive: true });
  element.addEventListener('touchend', (event) => {
    const end = event.changedTouches[0];
    if (!start || !end) return;
    const x = end.clientX - start.clientX;
    if (Math.abs(x) > SWIPE && Math.abs(x) > 2 * Math.abs(end.clientY - start.clientY)) turn(x < 0 ? 1 : -1);
    start = null;
  });
}
