/** Choice of microphone, camera and loudspeaker, in the lobby and in the settings. */

import { h } from '../app/dom.js';
import { t } from '../app/text.js';
import { field } from './frame.js';

/**
 * @param {import('../app/store.js').Store<import('../app/state.js').State>} store
 * @param {import('../app/media.js').LocalMedia} media
 * @param {(id: string) => void} [onSpeaker]
 */
export function deviceChoices(store, media, onSpeaker = () => {}) {
  const kinds = /** @type {const} */ (['audioinput', 'videoinput', 'audiooutput']);
  const element = h('div.devices');
  const selects = kinds.map((kind) => {
    const select = h('select', {
      onchange: () => {
        void media.choose(kind, select.value);
        if (kind === 'audiooutput') onSpeaker(select.value);
      },
    });
    const row = field(t(`device.${kind}`), select);
    element.append(row);
    return { kind, select, row };
  });
  const close = store.watch(['local'], ({ local: { devices, choice } }) => {
    for (const { kind, select, row } of selects) {
      const list = devices[kind].filter((device) => device.id !== 'default');
      // Choosing the output needs a browser that can; a choice of one is none.
      row.hidden = list.length === 0 || (kind === 'audiooutput' && (list.length < 2 || !('setSinkId' in HTMLMediaElement.prototype)));
      const shown = JSON.stringify([list, choice[kind]]);
      if (select.dataset.shown === shown) continue;
      select.dataset.shown = shown;
      const options = list.map((device, at) => h('option', { value: device.id }, device.label || t('device.unnamed', { n: at + 1 })));
      select.replaceChildren(h('option', { value: '' }, t('device.default')), ...options);
      select.value = list.some((device) => device.id === choice[kind]) ? choice[kind] : '';
    }
  });
  return { element, close };
}
