/** What a browser's statistics say about one medium between two moments: plain functions and a class that remembers the moment before. */

/**
 * What was counted up to a moment, of one medium.
 * @typedef {object} Totals
 * @property {number} at milliseconds
 * @property {number} bytesUp
 * @property {number} bytesDown
 * @property {number} received packets
 * @property {number} lost packets
 * @property {number} samples of sound
 * @property {number} concealed samples that were made up
 * @property {number} freezes
 * @property {Map<string, Stream>} shown pictures that arrive, by id
 * @property {Map<string, Stream>} sent encodings, by id
 */

/** @typedef {{frames: number, pixels: number, frozen: number, expected: boolean}} Stream frames so far, pixels of one, seconds frozen so far */

/**
 * What was between two moments. null is what cannot be told.
 * @typedef {object} Lately
 * @property {number} up bit/s
 * @property {number} down bit/s
 * @property {number|null} loss percent of what should have arrived
 * @property {number|null} concealed percent of the sound
 * @property {number|null} fps of one picture, the mean of those that play
 * @property {number} pixels per second of all pictures
 * @property {number} freezes
 * @property {number|null} frozen percent of the time
 * @property {number|null} sentFps of the most frequent encoding
 * @property {number} sentPixels per second of all encodings
 */

/** The mids of the slots in which a picture should move. @param {import('./protocol.js').Slot[]} slots */
export function moving(slots) {
  return new Set(slots.filter((one) => one.medium === 'video' && one.participant && !one.paused).map((one) => one.mid));
}

/**
 * @param {any[]} inbound
 * @param {any[]} outbound
 * @param {Set<string>} expected mids of slots in which a picture should move
 * @param {number} at
 * @returns {Totals}
 */
export function totalsOf(inbound, outbound, expected, at) {
  const stream = (/** @type {any} */ one, /** @type {number|undefined} */ frames, /** @type {boolean} */ due) =>
    /** @type {[string, Stream]} */ ([
      one.id,
      { frames: frames ?? 0, pixels: (one.frameWidth ?? 0) * (one.frameHeight ?? 0), frozen: one.totalFreezesDuration ?? 0, expected: due },
    ]);
  const pictures = inbound.filter((one) => one.kind === 'video');
  return {
    at,
    bytesUp: sum(outbound, 'bytesSent') + sum(outbound, 'headerBytesSent'),
    bytesDown: sum(inbound, 'bytesReceived') + sum(inbound, 'headerBytesReceived'),
    received: sum(inbound, 'packetsReceived'),
    lost: Math.max(0, sum(inbound, 'packetsLost')),
    samples: sum(inbound, 'totalSamplesReceived'),
    // Silence that was made up is no loss: nobody was speaking.
    concealed: Math.max(0, sum(inbound, 'concealedSamples') - sum(inbound, 'silentConcealedSamples')),
    freezes: sum(inbound, 'freezeCount'),
    shown: new Map(pictures.map((one) => stream(one, one.framesDecoded, expected.has(one.mid)))),
    sent: new Map(outbound.filter((one) => one.kind === 'video').map((one) => stream(one, one.framesEncoded, true))),
  };
}

/**
 * @param {Totals} before
 * @param {Totals} now
 * @returns {Lately}
 */
export function between(before, now) {
  const seconds = (now.at - before.at) / 1000;
  const since = (/** @type {'bytesUp'|'bytesDown'|'received'|'lost'|'samples'|'concealed'|'freezes'} */ key) => Math.max(0, now[key] - before[key]);
  const perSecond = (/** @type {number} */ n) => (seconds > 0 ? n / seconds : 0);
  const arrived = since('received') + since('lost');
  // A picture plays when it moved, and it stands still when it should move, has moved before, and did not.
  const shown = moved(before.shown, now.shown).filter(({ frames, stream }) => frames > 0 || (stream.expected && stream.frames > 0));
  const sent = moved(before.sent, now.sent).filter(({ frames }) => frames > 0);
  const share = (/** @type {{frames: number, frozen: number}} */ { frames, frozen }) => (frames === 0 ? 1 : Math.min(1, perSecond(frozen)));
  return {
    up: perSecond(since('bytesUp') * 8),
    down: perSecond(since('bytesDown') * 8),
    loss: arrived > 0 ? (100 * since('lost')) / arrived : null,
    concealed: since('samples') > 0 ? (100 * since('concealed')) / since('samples') : null,
    fps: shown.length > 0 && seconds > 0 ? perSecond(add(shown, 'frames')) / shown.length : null,
    pixels: perSecond(add(shown, 'pixels')),
    freezes: since('freezes'),
    frozen: shown.length > 0 && seconds > 0 ? (100 * shown.reduce((total, one) => total + share(one), 0)) / shown.length : null,
    sentFps: sent.length > 0 && seconds > 0 ? perSecond(Math.max(...sent.map((one) => one.frames))) : null,
    sentPixels: perSecond(add(sent, 'pixels')),
  };
}

/**
 * @param {Map<string, Stream>} before
 * @param {Map<string, Stream>} now
 */
function moved(before, now) {
  return [...now].map(([id, stream]) => {
    const was = before.get(id) ?? { frames: 0, frozen: 0 };
    const frames = Math.max(0, stream.frames - was.frames);
    return { stream, frames, pixels: frames * stream.pixels, frozen: Math.max(0, stream.frozen - was.frozen) };
  });
}

/** @param {any[]} list @param {string} key */
export function sum(list, key) {
  return list.reduce((total, one) => total + (one[key] ?? 0), 0);
}

/** @param {{frames: number, pixels: number}[]} list @param {'frames'|'pixels'} key */
function add(list, key) {
  return list.reduce((total, one) => total + one[key], 0);
}
