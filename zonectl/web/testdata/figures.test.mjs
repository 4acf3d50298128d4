import assert from 'node:assert/strict';
import { test } from 'node:test';
import { between, totalsOf } from '../app/figures.js';
import { lineOf } from '../views/graph.js';

const sound = (more) => ({ id: 'a', kind: 'audio', mid: 'audio0', bytesReceived: 0, packetsReceived: 0, packetsLost: 0, ...more });
const picture = (id, more) => ({ id, kind: 'video', mid: id, frameWidth: 320, frameHeight: 180, bytesReceived: 0, packetsReceived: 0, packetsLost: 0, ...more });

test('sound: loss, rate, what was made up', () => {
  const before = totalsOf([sound({ packetsReceived: 100, packetsLost: 1, bytesReceived: 1000, totalSamplesReceived: 48000, concealedSamples: 480 })], [], new Set(), 1000);
  const now = totalsOf(
    [sound({ packetsReceived: 190, packetsLost: 11, bytesReceived: 5000, totalSamplesReceived: 144000, concealedSamples: 3480, silentConcealedSamples: 600 })], [], new Set(), 3000,
  );
  const lately = between(before, now);
  assert.equal(lately.loss, 10);
  assert.equal(lately.down, 16000);
  assert.equal(lately.concealed, 2.5);
  assert.equal(lately.fps, null);
  assert.equal(lately.frozen, null);
});

test('pictures: frames of those that play, and those that should', () => {
  const slots = new Set(['video0', 'video1', 'video2']);
  const before = totalsOf([picture('video0', { framesDecoded: 10 }), picture('video1', { framesDecoded: 50 }), picture('video2'), picture('video3')], [], slots, 0);
  const now = totalsOf(
    [picture('video0', { framesDecoded: 60, totalFreezesDuration: 0.5, freezeCount: 1 }), picture('video1', { framesDecoded: 50 }), picture('video2'), picture('video3')], [], slots, 2000,
  );
  const lately = between(before, now);
  assert.equal(lately.fps, 12.5); // 25 of the one that plays, 0 of the one that stands still; video2 has never moved
  assert.equal(lately.frozen, 62.5); // a quarter of the time and all of it
  assert.equal(lately.freezes, 1);
  assert.equal(lately.pixels, 25 * 320 * 180);
});

test('encodings: the frames of one, the pixels of all', () => {
  const sent = (n) => [picture('low', { framesEncoded: n }), picture('high', { framesEncoded: 2 * n, frameWidth: 640, frameHeight: 360 })];
  const lately = between(totalsOf([], sent(10), new Set(), 0), totalsOf([], sent(25), new Set(), 1000));
  assert.equal(lately.sentFps, 30);
  assert.equal(lately.sentPixels, 15 * 320 * 180 + 30 * 640 * 360);
});

test('the first sample says nothing, and counters that begin anew are not negative', () => {
  const total = totalsOf([sound({ packetsReceived: 100 })], [], new Set(), 1000);
  const first = between(total, total);
  assert.deepEqual([first.up, first.down, first.loss, first.concealed, first.fps, first.frozen, first.sentFps], [0, 0, null, null, null, null, null]);
  const anew = between(total, totalsOf([sound({ packetsReceived: 3 })], [], new Set(), 2000));
  assert.ok(anew.down >= 0 && anew.loss === null);
});

test('a line breaks where nothing is known and stays in its box', () => {
  assert.equal(lineOf([null, null], 5, 60), '');
  const line = lineOf([1, null, 2, 10], 10, 4);
  assert.equal(line.match(/M/g).length, 2);
  for (const [, y] of line.matchAll(/[ML][\d.]+ ([\d.]+)/g)) assert.ok(Number(y) >= 1 && Number(y) <= 31, line);
});
