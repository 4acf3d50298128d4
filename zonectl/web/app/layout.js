/** Who is shown where and how large, and so which pictures are asked for. Plain functions without DOM. */

/** @typedef {import('./protocol.js').View} View */
/** @typedef {import('./protocol.js').Participant} Participant */
/** @typedef {{columns: number, rows: number, width: number, height: number}} Grid */

const ASPECT = 16 / 9;
/** Between tiles, in CSS pixels. */
export const GAP = 8;
/** The most tiles on a page, oneself included. */
export const MAX_TILES = 49;

/** The narrowest tile that still shows a face and a name. @param {number} width of the stage, CSS pixels */
export function narrowestOf(width) {
  return width < 600 ? 140 : 160;
}

/**
 * The grid in which n tiles of 16:9 are largest.
 * @param {number} n
 * @param {number} width of the area
 * @param {number} height
 * @param {number} gap
 * @returns {Grid}
 */
export function gridOf(n, width, height, gap) {
  /** @type {Grid} */
  let best = { columns: 1, rows: Math.max(1, n), width: 0, height: 0 };
  for (let columns = 1; columns <= Math.max(1, n); columns++) {
    const rows = Math.ceil(n / columns) || 1;
    const tileWidth = Math.min((width - gap * (columns - 1)) / columns, ((height - gap * (rows - 1)) / rows) * ASPECT);
    if (tileWidth > best.width) best = { columns, rows, width: Math.floor(tileWidth), height: Math.floor(tileWidth / ASPECT) };
  }
  return best;
}

/**
 * How many tiles a page holds when none may be narrower than minimum.
 * @param {number} width
 * @param {number} height
 * @param {number} gap
 * @param {number} minimum
 */
export function capacityOf(width, height, gap, minimum) {
  const columns = Math.max(1, Math.floor((width + gap) / (minimum + gap)));
  const rows = Math.max(1, Math.floor((height + gap) / (minimum / ASPECT + gap)));
  return columns * rows;
}

/**
 * The others in the order in which they are shown: as they joined, but whoever spoke lately and would be on a later page takes the place of the
 * one on the first page who has been silent longest.
 * @param {string[]} ids in order of joining
 * @param {Map<string, number>} spoke when each spoke last
 * @param {number} first how many the first page holds
 * @returns {string[]}
 */
export function ordered(ids, spoke, first) {
  const order = [...ids];
  const when = (/** @type {string} */ id) => spoke.get(id) ?? 0;
  const later = order.slice(first).filter((id) => when(id) > 0).sort((a, b) => when(b) - when(a));
  for (const id of later) {
    const head = order.slice(0, first);
    const quietest = head.reduce((least, other) => (when(other) < when(least) ? other : least), head[0]);
    if (quietest === undefined || when(quietest) >= when(id)) break;
    const from = order.indexOf(id);
    order[order.indexOf(quietest)] = id;
    order[from] = quietest;
  }
  return order;
}

/**
 * One page of a list.
 * @template T
 * @param {T[]} items
 * @param {number} page
 * @param {number} size
 * @returns {{items: T[], page: number, pages: number}}
 */
export function pageOf(items, page, size) {
  const pages = Math.max(1, Math.ceil(items.length / Math.max(1, size)));
  const at = Math.min(Math.max(0, page), pages - 1);
  return { items: items.slice(at * size, (at + 1) * size), page: at, pages };
}

/**
 * Gives pictures to slots. Who already is in a slot stays there, so that nobody's picture starts again without need.
 * @param {string[]} slots who was asked for in each slot, "" for nobody
 * @param {string[]} wanted most important first
 * @returns {string[]}
 */
export function assignSlots(slots, wanted) {
  const able = wanted.slice(0, slots.length);
  const next = slots.map((id) => (able.includes(id) ? id : ''));
  for (const id of able) {
    if (!next.includes(id)) next[next.indexOf('')] = id;
  }
  return next;
}

const HEIGHTS = [90, 180, 270, 360, 540, 720, 1080];

/**
 * The height to ask for: some steps, so that dragging a window does not ask a hundred times.
 * @param {number} pixels of the tile on the screen, in device pixels
 */
export function stepHeight(pixels) {
  return HEIGHTS.find((height) => height >= pixels * 0.9) ?? 1080;
}

/**
 * The views to ask for.
 * @param {string[]} slots as assigned
 * @param {Map<string, {height: number, priority: number}>} tiles
 * @returns {View[]}
 */
export function viewsOf(slots, tiles) {
  return slots.map((participant, slot) => {
    const tile = tiles.get(participant);
    return tile ? { slot, participant, height: stepHeight(tile.height), priority: tile.priority } : { slot, participant: '-' };
  });
}

/**
 * What changed: slots that are not named stay as they are.
 * @param {View[]} before
 * @param {View[]} after
 */
export function changedViews(before, after) {
  return after.filter((view, at) => JSON.stringify(view) !== JSON.stringify(before[at]));
}

/**
 * How many video slots to ask for at the join: as many as one page of this screen can show, however it is turned.
 * @param {number} width of the screen, CSS pixels
 * @param {number} height
 */
export function slotsFor(width, height) {
  const tiles = Math.max(capacityOf(width, height, GAP, narrowestOf(width)), capacityOf(height, width, GAP, narrowestOf(height)));
  return Math.min(Math.max(tiles, 10), MAX_TILES) - 1;
}

/**
 * Initials for a person without a picture: of first and last word, or the first character of scripts that are written without spaces.
 * @param {string} name
 */
export function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0]?.toUpperCase() ?? '').join('') || '?';
}

/**
 * A colour's hue for a person, the same everywhere.
 * @param {string} id
 */
export function hue(id) {
  let sum = 7;
  for (const character of id) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 3600;
  return Math.round((sum * 137.508) % 360);
}
