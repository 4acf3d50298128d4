/** What goes wrong, as values that the views turn into two sentences: what happened, and what to do. */

import { has, t } from './text.js';

/** Something that a person must be told. The code chooses the sentences of text.js; the server's own are used for codes unknown there. */
export class Trouble extends Error {
  /**
   * @param {string} code
   * @param {{text?: string, advice?: string, retry?: number, zone?: import('./protocol.js').WireError['zone'], params?: Record<string, string|number>}} [more]
   */
  constructor(code, more = {}) {
    super(code);
    this.name = 'Trouble';
    this.code = code;
    this.retry = more.retry ?? 0;
    this.zone = more.zone;
    this.params = more.params ?? {};
    this.serverText = more.text ?? '';
    this.serverAdvice = more.advice ?? '';
  }

  /**
   * @param {import('./protocol.js').WireError} error
   * @param {string} [about] the message that it answers; the same code means different things there
   */
  static ofServer(error, about = '') {
    const { code, text, advice, retry = 0, zone } = error;
    const special = code === 'full' && retry > 0 ? 'busy' : `${about}-${code}`;
    const params = zone ? { zone: zone.name || zone.id, url: zone.controllers?.[0] ?? '' } : {};
    return new Trouble(has(`error.${special}.text`) ? special : code, { text, advice, retry, zone, params });
  }

  /**
   * Anything thrown, as a Trouble.
   * @param {unknown} thrown
   * @param {string} [otherwise] code for what is not known
   */
  static of(thrown, otherwise = 'unexpected') {
    if (thrown instanceof Trouble) return thrown;
    console.error(thrown);
    return new Trouble(otherwise);
  }

  /** One sentence: what happened. */
  get text() {
    if (has(`error.${this.code}.text`)) return t(`error.${this.code}.text`, this.params);
    return this.serverText || t('error.unexpected.text');
  }

  /** One sentence: what to do. */
  get advice() {
    const minutes = Math.ceil(this.retry / 60);
    if (this.code === 'guess' && minutes > 0) return t('error.guess.wait', { n: minutes });
    if (this.code === 'refused' && this.retry > 0) return t('error.refused.wait', { n: this.retry });
    if (has(`error.${this.code}.advice`)) return t(`error.${this.code}.advice`, this.params);
    return this.serverAdvice || t('error.unexpected.advice');
  }

  /** Both sentences. */
  get sentences() {
    return `${this.text} ${this.advice}`;
  }
}

/** Why a camera, microphone or screen could not be had, by the name of the browser's exception. */
const CAPTURE = {
  NotAllowedError: 'denied',
  SecurityError: 'denied',
  NotFoundError: 'missing',
  DevicesNotFoundError: 'missing',
  OverconstrainedError: 'missing',
  NotReadableError: 'busy',
  TrackStartError: 'busy',
  AbortError: 'busy',
};

/**
 * @param {unknown} thrown by getUserMedia or getDisplayMedia
 * @param {'camera'|'microphone'|'screen'} device
 */
export function captureTrouble(thrown, device) {
  if (thrown instanceof Trouble) return thrown;
  const name = thrown instanceof DOMException ? thrown.name : '';
  const why = CAPTURE[/** @type {keyof typeof CAPTURE} */ (name)];
  return why ? new Trouble(`${device}-${why}`) : Trouble.of(thrown, `${device}-busy`);
}
