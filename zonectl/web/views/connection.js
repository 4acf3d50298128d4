/** The connection panel: how each medium travels and how good it is, as the browser and the box see it. */

import { h, setText } from '../app/dom.js';
import { MEDIA } from '../app/protocol.js';
import { MAX_TRAIL } from '../app/state.js';
import { language, t } from '../app/text.js';
import { Graph } from './graph.js';

/** @typedef {import('../app/protocol.js').Medium} Medium */
/** @typedef {import('../app/stats.js').MediumStats} MediumStats */
/** @typedef {import('../app/state.js').Moment} Moment */
/** @typedef {import('../app/protocol.js').FlowQuality} FlowQuality */
/** @typedef {(stats: MediumStats|undefined, flow: FlowQuality|undefined) => number|null|undefined} Value */

/** @param {import('../app/main.js').App} app */
export function connectionView({ store }) {
  const summary = new Facts(['connection.control', 'connection.media', 'connection.sync', 'connection.zone', 'connection.zones']);
  const media = MEDIA.map((medium) => new MediumSection(medium));
  const parts = h(
    'div.panel-scroll',
    { tabindex: '0', role: 'group', 'aria-label': t('connection.title') },
    summary.element,
    ...media.map((one) => one.element),
    h('p.hint', {}, t('connection.hint')),
  );
  const unwatch = store.watch(['stats', 'transports', 'media', 'online', 'skews', 'quality', 'trail', 'zones'], (state) => {
    summary.set('connection.control', t(state.online ? 'state.connected' : 'state.lost'));
    summary.set('connection.media', t(`state.${state.media}`));
    summary.set('connection.sync', state.skews.length > 0 ? state.skews.map((skew) => `${skew > 0 ? '+' : ''}${Math.round(skew)} ms`).join(', ') : '–');
    const others = state.zones.filter((one) => !one.picked);
    summary.set('connection.zone', state.zones.filter((one) => one.picked).map(zoneText).join('') || null);
    summary.set('connection.zones', others.map(zoneText).join('; ') || null);
    for (const one of media) one.update(state);
  });
  return { element: h('div.panel-body', {}, parts), close: unwatch };
}

/** @param {import('../app/lookup.js').Tested} one */
function zoneText({ name, base, roundTrip, udp }) {
  const facts = [roundTrip === null ? t('connection.silent') : milliseconds(roundTrip)];
  if (udp !== null) facts.push(t(udp ? 'connection.udp' : 'connection.noudp'));
  return `${name || new URL(base).host} (${facts.join(', ')})`;
}

/** A list of facts whose values change in place, so that what a person has marked to copy stays marked. */
class Facts {
  /** @type {Map<string, {name: HTMLElement, value: HTMLElement}>} */
  #rows = new Map();

  /** @param {string[]} labels */
  constructor(labels) {
    this.element = h('dl.facts');
    for (const label of labels) {
      const row = { name: h('dt', {}, t(label)), value: h('dd') };
      this.#rows.set(label, row);
      this.element.append(row.name, row.value);
    }
  }

  /** @param {string} label @param {string|null} text null hides the fact */
  set(label, text) {
    const row = this.#rows.get(label);
    if (!row) return;
    row.name.hidden = row.value.hidden = text === null;
    setText(row.value, text ?? '');
  }
}

/**
 * What is drawn of a medium, upwards and downwards.
 * @type {{kind: import('./graph.js').Kind, media: Medium[], up: Value, down: Value}[]}
 */
const GRAPHS = [
  { kind: { label: 'connection.score', format: (v) => decimal(v, 1), top: 5, worst: 'low' }, media: MEDIA, up: (_, q) => q?.score, down: (_, q) => q?.score },
  { kind: { label: 'connection.rate', format: rate, top: 1, worst: null }, media: MEDIA, up: (s) => s?.lately.up, down: (s) => s?.lately.down },
  { kind: { label: 'connection.loss', format: percent, top: 5, worst: 'high' }, media: MEDIA, up: (s) => s?.lossUp, down: (s) => s?.lately.loss },
  { kind: { label: 'connection.jitter', format: milliseconds, top: 20, worst: 'high' }, media: MEDIA, up: (s) => s?.jitterUp, down: (s) => s?.jitter },
  { kind: { label: 'connection.roundtrip', format: milliseconds, top: 20, worst: 'high', both: false }, media: MEDIA, up: (s) => s?.roundTrip, down: () => null },
  {
    kind: { label: 'connection.fps', format: (v) => decimal(v, 0), top: 15, worst: 'low' },
    media: ['video', 'content'],
    up: (s) => s?.lately.sentFps,
    down: (s) => s?.lately.fps,
  },
];

class MediumSection {
  #medium;
  #badge = h('span.badge');
  #path = new Facts(['connection.rung', 'connection.tried', 'connection.local', 'connection.remote', 'connection.cipher', 'connection.mark', 'connection.picture']);
  #quality = new Facts(['connection.freezes', 'connection.concealed']);
  #graphs;

  /** @param {Medium} medium */
  constructor(medium) {
    this.#medium = medium;
    this.#graphs = GRAPHS.filter((one) => one.media.includes(medium)).map((one) => ({ ...one, graph: new Graph(one.kind, MAX_TRAIL) }));
    this.element = h(
      'section.medium',
      {},
      h('h3', {}, t(`medium.${medium}`), this.#badge),
      h('div.graphs', {}, ...this.#graphs.map(({ graph }) => graph.element)),
      this.#quality.element,
      this.#path.element,
    );
  }

  /** @param {import('../app/state.js').State} state */
  update({ stats, transports, trail }) {
    const own = stats.find((one) => one.medium === this.#medium);
    this.#travel(own, transports.find((one) => one.medium === this.#medium));
    const flows = trail.map(({ stats: then, quality }) => ({
      stats: then.find((one) => one.medium === this.#medium),
      quality: quality.find((one) => one.medium === this.#medium),
    }));
    for (const { graph, up, down } of this.#graphs) {
      graph.update(flows.map((one) => up(one.stats, one.quality?.up) ?? null), flows.map((one) => down(one.stats, one.quality?.down) ?? null));
    }
    const lately = own?.lately;
    this.#quality.set('connection.freezes', this.#medium === 'video' && lately && lately.frozen !== null ? percent(lately.frozen) : null);
    this.#quality.set('connection.concealed', this.#medium === 'audio' && lately && lately.concealed !== null ? percent(lately.concealed) : null);
  }

  /** @param {MediumStats|undefined} stats @param {import('../app/protocol.js').TransportState|undefined} transport */
  #travel(stats, transport) {
    const rung = transport?.rung || stats?.rung || '';
    const state = transport?.state ?? 'new';
    this.#badge.className = `badge ${state === 'connected' ? 'good' : 'waiting'}`;
    setText(this.#badge, rung ? rung.toUpperCase() : t(`state.${state}`));
    this.#path.set('connection.rung', rungText(rung));
    this.#path.set('connection.tried', stats?.tried?.length ? stats.tried.map(triedText).join(' · ') : null);
    this.#path.set('connection.local', transport?.remote || stats?.local || '–');
    this.#path.set('connection.remote', transport?.local || stats?.remote || '–');
    this.#path.set('connection.cipher', (transport?.cipher || stats?.cipher || '–').replace(/^SRTP_/, ''));
    this.#path.set('connection.mark', markText(transport?.dscp ?? -1));
    this.#path.set('connection.picture', stats?.picture || null);
  }
}

/** Which rung a transport stands on, for people. @param {string} rung */
function rungText(rung) {
  return rung ? t(`rung.${['udp', 'tcp', 'tls'].includes(rung) ? rung : 'other'}`) : '–';
}

/** What came of a rung, for people. @param {import('../app/journal.js').Tried} tried */
function triedText({ rung, result, ms }) {
  return `${rung.toUpperCase()}: ${t(`tried.${result}`, { time: `${decimal(ms / 1000, 1)} s` })}`;
}

/** Names of the code points that are in use for media and signalling. @type {Record<number, string>} */
const MARKS = { 0: 'CS0', 8: 'CS1', 24: 'CS3', 26: 'AF31', 34: 'AF41', 36: 'AF42', 38: 'AF43', 40: 'CS5', 46: 'EF', 56: 'CS7' };

/** A code point in the three ways in which people read it. @param {number} dscp -1 is unknown */
function markText(dscp) {
  if (dscp < 0) return '–';
  const byte = (dscp << 2).toString(16).toUpperCase().padStart(2, '0');
  return [String(dscp), MARKS[dscp], `ToS 0x${byte}`].filter(Boolean).join(' · ');
}

/** @param {number} bits per second */
function rate(bits) {
  const [value, unit] = bits >= 1e6 ? [bits / 1e6, 'Mbit/s'] : [bits / 1e3, 'kbit/s'];
  return `${decimal(value, value < 10 ? 1 : 0)} ${unit}`;
}

/** @param {number} value */
function percent(value) {
  return `${decimal(value, 1)} %`;
}

/** @param {number} value */
function milliseconds(value) {
  return `${decimal(value, value < 10 ? 1 : 0)} ms`;
}

/** @param {number} value @param {number} digits */
function decimal(value, digits) {
  return value.toLocaleString(language(), { maximumFractionDigits: digits });
}
