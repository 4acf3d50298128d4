/** Small live graphs: two lines, what is sent and what is received, over the last two minutes. What they show is said in words as well. */

import { h, setText } from '../app/dom.js';
import { t } from '../app/text.js';

const WIDTH = 120;
const HEIGHT = 32;
const SVG = 'http://www.w3.org/2000/svg';

/** @typedef {(number|null)[]} Series */
/** @typedef {{label: string, format: (value: number) => string, top: number, worst: 'low'|'high'|null, both?: boolean}} Kind both: false where there is one value for both ways */

export class Graph {
  #kind;
  #figure = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'graph-plot', role: 'img', preserveAspectRatio: 'none' });
  #up = svg('path', { class: 'up' });
  #down = svg('path', { class: 'down' });
  #nowUp = h('span');
  #nowDown = h('span');
  #points;

  /** @param {Kind} kind @param {number} points how many values a full graph has */
  constructor(kind, points) {
    this.#kind = kind;
    this.#points = points;
    this.#figure.append(svg('path', { class: 'base', d: `M0 ${HEIGHT - 1}H${WIDTH}` }), this.#down, this.#up);
    this.element = h('div.graph', {}, h('span.graph-label', {}, t(kind.label)), this.#figure, h('span.graph-now', {}, this.#nowUp, this.#nowDown));
  }

  /** @param {Series} up @param {Series} down oldest first, null where nothing is known */
  update(up, down) {
    const { format, top } = this.#kind;
    const highest = Math.max(top, ...up.map((v) => v ?? 0), ...down.map((v) => v ?? 0));
    this.#up.setAttribute('d', lineOf(up, highest, this.#points));
    this.#down.setAttribute('d', lineOf(down, highest, this.#points));
    const last = (/** @type {Series} */ series) => {
      const value = series.at(-1) ?? null;
      return value === null ? '–' : format(value);
    };
    if (this.#kind.both === false) {
      setText(this.#nowUp, last(up));
      this.#figure.setAttribute('aria-label', this.#said('both', up));
    } else {
      setText(this.#nowUp, `↑ ${last(up)}`);
      setText(this.#nowDown, `↓ ${last(down)}`);
      this.#figure.setAttribute('aria-label', [this.#said('up', up), this.#said('down', down)].join(' '));
    }
    this.element.hidden = [...up, ...down].every((value) => value === null);
  }

  /** A sentence for those who cannot see the line. @param {'up'|'down'|'both'} way @param {Series} series */
  #said(way, series) {
    const { label, format, worst } = this.#kind;
    const known = series.filter((value) => value !== null);
    if (known.length === 0) return t(`graph.${way}.none`, { what: t(label) });
    const extreme = format(worst === 'low' ? Math.min(...known) : Math.max(...known));
    const now = series.at(-1) ?? null;
    return t(`graph.${way}.${worst === 'low' ? 'low' : 'high'}`, { what: t(label), now: now === null ? '–' : format(now), extreme });
  }
}

/**
 * The line of a series that ends at the right edge; it is broken where nothing is known.
 * @param {Series} series
 * @param {number} highest
 * @param {number} points
 */
export function lineOf(series, highest, points) {
  const step = WIDTH / Math.max(1, points - 1);
  const first = points - series.length;
  let line = '';
  let drawing = false;
  series.forEach((value, at) => {
    if (value === null) {
      drawing = false;
      return;
    }
    const x = ((first + at) * step).toFixed(1);
    const y = (HEIGHT - 2 - (Math.max(0, value) / (highest || 1)) * (HEIGHT - 4)).toFixed(1);
    // A single value is a dot, which a round cap makes of a line of no length.
    line += drawing ? `L${x} ${y}` : `M${x} ${y}h0`;
    drawing = true;
  });
  return line;
}

/** @param {string} name @param {Record<string, string>} attributes */
function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
