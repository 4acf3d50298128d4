import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drainOf, drainSentence, timeLeft } from '../app/drain.js';
import { NO_STAY, REDUCERS } from '../app/state.js';

test('what is left, rounded up', () => {
  const minute = 60_000;
  for (const [milliseconds, text] of [
    [-5, '1 minute'], [1, '1 minute'], [minute, '1 minute'], [minute + 1, '2 minutes'], [10 * minute, '10 minutes'],
    [60 * minute, '1 hour'], [125 * minute, '2 hours 5 minutes'],
  ]) assert.equal(timeLeft(milliseconds), text);
});

test('the sentence has what is left, the time and the reason', () => {
  const now = new Date(2026, 0, 5, 13, 50).getTime();
  const drain = drainOf({ type: 'drain', on: true, reason: 'new cables', left_s: 600 }, now);
  assert.match(drainSentence(drain, now), /^In 10 minutes, at 2:00\sPM, this meeting ends for everybody: new cables$/);
  assert.match(drainSentence(drain, now + 9.5 * 60_000), /^In 1 minute, at 2:00\sPM/);
  assert.match(drainSentence(drainOf({ type: 'drain', on: true, left_s: 86400 }, now), now), /^In 24 hours, at Tuesday.* 1:50\sPM, this meeting ends for everybody\.$/);
  assert.match(drainSentence(drainOf({ type: 'drain', on: false }, now), now), /can go on/);
});

test('a stay knows of a drain from the server, and forgets it at its end', () => {
  const { drain } = REDUCERS.drain({}, { type: 'drain', on: true, reason: 'new cables', left_s: 60 });
  assert.ok(drain.on && drain.at > Date.now() + 50_000 && drain.reason === 'new cables');
  assert.equal(REDUCERS.drain({}, { type: 'drain', on: false }).drain.on, false);
  assert.equal(NO_STAY.drain, null);
});
