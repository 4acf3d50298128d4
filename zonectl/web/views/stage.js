/**
 * The stage: everybody's tiles, the shared content, and the pages. It also decides which pictures are asked for, since only what is on the screen
 * needs one.
 */

import { h, icon, setText } from '../app/dom.js';
import { assignSlots, capacityOf, changedViews, gridOf, ordered, pageOf, viewsOf } from '../app/layout.js';
import { t } from '../app/text.js';
import { Tile } from './tile.js';

/** @typedef {import('../app/state.js').State} State */
/** @typedef {import('../app/protocol.js').View} View */

const SELF = 'self';
const CONTENT = 'content';
const GAP = 8;
const ASK_MS = 120;
/** The narrowest tile, in CSS pixels, on a small and on a large stage. */
const NARROWEST = { small: 140, large: 200 };

export class Stage {
  #app;
  #list = h('ul.tiles', { 'aria-label': t('stage.label') });
  #pager = h('div.pager');
  #pageText = h('span', { role: 'status' });
  #waiting = h('div.waiting');
  #banner = h('div.share-banner', { hidden: true });
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  /** @type {string[]} */
  #slots;
  /** @type {View[]} */
  #asked = [];
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #asking;
  #selfVideo;
  #observer = new ResizeObserver(() => this.#draw(this.#app.store.state));
  #unwatch;
  #page = { page: 0, pages: 1 };

  /** @param {import('../app/main.js').App} app */
  constructor(app) {
    this.#app = app;
    this.#slots = new Array(app.session?.videoSlots ?? 0).fill('');
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
    this.#observer.observe(this.#list);
    this.#unwatch = app.store.watch(
      ['participants', 'slots', 'speaker', 'layout', 'pinned', 'page', 'videos', 'local', 'online', 'me', 'role'],
      (state) => this.#draw(state),
    );
  }

  /** @param {number} by pages */
  turn(by) {
    const page = Math.min(Math.max(0, this.#page.page + by), this.#page.pages - 1);
    this.#app.store.update({ page });
  }

  close() {
    this.#unwatch();
    this.#observer.disconnect();
    clearTimeout(this.#asking);
    this.#selfVideo.srcObject = null;
  }

  /** Places the tiles and asks for their pictures. @param {State} state */
  #draw(state) {
    // After a lost connection everything is asked again: the session may be a new one.
    if (!state.online) this.#asked = [];
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
    this.#ask(main, page.items, others, sizes, height);
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
    const recent = [...state.spoke].filter(([id]) => others.some((one) => one.id === id)).sort((a, b) => b[1] - a[1])[0];
    return recent?.[0] ?? others[0].id;
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
    const narrowest = width < 600 ? NARROWEST.small : NARROWEST.large;
    const ids = others.map((one) => one.id).filter((id) => id !== main);
    if (main) {
      // A strip beside or below the large one; style/meeting.css says where.
      const beside = isWide(width, height);
      const strip = beside ? Math.floor((height + GAP) / (112 + GAP)) : Math.floor((width + GAP) / (110 + GAP));
      const page = pageOf(ids, state.page, Math.max(1, Math.min(strip - 1, this.#slots.length - 1)));
      return { page: { ...page, items: [...page.items, SELF] }, sizes: { columns: 1, width: beside ? 200 : 110, height: beside ? 112 : 62, rows: 1 } };
    }
    const capacity = Math.max(2, Math.min(capacityOf(width, height, GAP, narrowest), this.#slots.length + 1));
    const page = pageOf(ordered(ids, state.spoke, capacity - 1), state.page, capacity - 1);
    return { page: { ...page, items: [...page.items, SELF] }, sizes: gridOf(page.items.length + 1, width, height, GAP) };
  }

  /** @param {State} state @param {string[]} ids */
  #show(state, ids) {
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
   * @param {{height: number}} sizes
   * @param {number} height
   */
  #ask(main, items, others, sizes, height) {
    const sending = new Set(others.filter((one) => one.video).map((one) => one.id));
    const scale = devicePixelRatio || 1;
    /** @type {Map<string, {height: number, priority: number}>} */
    const tiles = new Map();
    for (const id of [main, ...items]) {
      if (sending.has(id)) tiles.set(id, id === main ? { height: height * scale, priority: 2 } : { height: sizes.height * scale, priority: 1 });
    }
    this.#slots = assignSlots(this.#slots, [...tiles.keys()]);
    clearTimeout(this.#asking);
    this.#asking = setTimeout(() => this.#send(viewsOf(this.#slots, tiles)), ASK_MS);
  }

  /** @param {View[]} views */
  #send(views) {
    if (!this.#app.store.state.online) return;
    const changed = changedViews(this.#asked, views);
    if (changed.length > 0 && this.#app.session?.setViews(changed)) this.#asked = views;
  }
}

/** Whether the strip of small tiles fits better beside the large one than below it. @param {number} width @param {number} height */
function isWide(width, height) {
  return width > height * 1.1;
}
