/** The connection panel: how each medium travels, as the browser and as the router see it. */

import { h } from '../app/dom.js';
import { MEDIA } from '../app/protocol.js';
import { language, t } from '../app/text.js';

/** @param {import('../app/main.js').App} app */
export function connectionView({ store }) {
  const parts = h('div.panel-scroll', { tabindex: '0', role: 'group', 'aria-label': t('connection.title') });
  const unwatch = store.watch(['stats', 'transports', 'media', 'online', 'skews'], ({ stats, transports, media, online, skews }) => {
    const summary = h(
      'dl.facts',
      {},
      ...fact('connection.control', t(online ? 'state.connected' : 'state.lost')),
      ...fact('connection.media', t(`state.${media}`)),
      ...fact('connection.sync', skews.length > 0 ? skews.map((skew) => `${skew > 0 ? '+' : ''}${Math.round(skew)} ms`).join(', ') : '–'),
    );
    const sections = MEDIA.map((medium) =>
      mediumSection(
        medium,
        stats.find((one) => one.medium === medium),
        transports.find((one) => one.medium === medium),
      ),
    );
    parts.replaceChildren(summary, ...sections);
  });
  return { element: h('div.panel-body', {}, parts, h('p.hint.panel-hint', {}, t('connection.hint'))), close: unwatch };
}

/** Which rung a transport stands on, for people. @param {string} rung */
function rungText(rung) {
  return rung ? t(`rung.${['udp', 'tcp', 'tls'].includes(rung) ? rung : 'other'}`) : '–';
}

/**
 * @param {import('../app/protocol.js').Medium} medium
 * @param {import('../app/stats.js').MediumStats|undefined} stats
 * @param {import('../app/protocol.js').TransportState|undefined} transport
 */
function mediumSection(medium, stats, transport) {
  const rung = transport?.rung || stats?.rung || '';
  const remote = transport?.local || stats?.remote;
  const local = transport?.remote || stats?.local;
  const state = transport?.state ?? 'new';
  return h(
    'section.medium',
    {},
    h('h3', {}, t(`medium.${medium}`), h(`span.badge.${state === 'connected' ? 'good' : 'waiting'}`, {}, rung ? rung.toUpperCase() : t(`state.${state}`))),
    h(
      'dl.facts',
      {},
      ...fact('connection.rung', rungText(rung)),
      ...fact('connection.local', local || '–'),
      ...fact('connection.remote', remote || '–'),
      ...fact('connection.cipher', (transport?.cipher || stats?.cipher || '–').replace(/^SRTP_/, '')),
      ...fact('connection.mark', markText(transport?.dscp ?? -1)),
      ...fact('connection.rate', `↑ ${rate(stats?.up)} · ↓ ${rate(stats?.down)}`),
      ...fact('connection.loss', `↑ ${percent(stats?.lossUp)} · ↓ ${percent(stats?.lossDown)}`),
      ...fact('connection.jitter', milliseconds(stats?.jitter)),
      ...fact('connection.roundtrip', milliseconds(stats?.roundTrip)),
      ...(stats?.picture ? fact('connection.picture', stats.picture) : []),
    ),
  );
}

/** Names of the code points that are in use for media and signalling. @type {Record<number, string>} */
const MARKS = { 0: 'CS0', 8: 'CS1', 24: 'CS3', 26: 'AF31', 34: 'AF41', 36: 'AF42', 38: 'AF43', 40: 'CS5', 46: 'EF', 56: 'CS7' };

/** A code point in the three ways in which people read it. @param {number} dscp -1 is unknown */
function markText(dscp) {
  if (dscp < 0) return '–';
  const byte = (dscp << 2).toString(16).toUpperCase().padStart(2, '0');
  return [String(dscp), MARKS[dscp], `ToS 0x${byte}`].filter(Boolean).join(' · ');
}

/** @param {string} label @param {string} value */
function fact(label, value) {
  return [h('dt', {}, t(label)), h('dd', {}, value)];
}

/** @param {number|undefined} bits per second */
function rate(bits) {
  if (bits === undefined) return '–';
  const [value, unit] = bits >= 1e6 ? [bits / 1e6, 'Mbit/s'] : [bits / 1e3, 'kbit/s'];
  return `${value.toLocaleString(language(), { maximumFractionDigits: value < 10 ? 1 : 0 })} ${unit}`;
}

/** @param {number|null|undefined} value */
function percent(value) {
  return value === null || value === undefined ? '–' : `${value.toLocaleString(language(), { maximumFractionDigits: 1 })} %`;
}

/** @param {number|null|undefined} value */
function milliseconds(value) {
  return value === null || value === undefined ? '–' : `${value.toLocaleString(language(), { maximumFractionDigits: value < 10 ? 1 : 0 })} ms`;
}
