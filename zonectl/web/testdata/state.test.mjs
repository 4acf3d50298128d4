import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { skews } from '../app/lipsync.js';
import { Recovery } from '../app/recovery.js';
import { fragmentsOf } from '../app/stats.js';
import { REDUCERS } from '../app/state.js';
import { createStore } from '../app/store.js';

test('the store tells watchers of their keys only, and not after they left', () => {
  const store = createStore({ a: 1, b: 1 });
  const seen = [];
  const stop = store.watch(['a'], ({ a }) => seen.push(a));
  store.update({ b: 2 });
  store.update({ a: 2 });
  stop();
  store.update({ a: 3 });
  assert.deepEqual(seen, [1, 2]);
  assert.throws(() => {
    store.state.a = 9;
  });
});

test('participants come, change and go', () => {
  const person = (id, more) => ({ id, name: id, role: 'participant', audio: true, video: true, sharing: false, ...more });
  let state = { participants: [], pinned: 'b', spoke: new Map([['b', 1]]), chat: [], unread: 0, me: 'a', panel: '' };
  const apply = (type, message) => (state = { ...state, ...REDUCERS[type](state, message) });
  apply('participants', { participants: null });
  apply('joined', { participant: person('a') });
  apply('joined', { participant: person('b') });
  apply('joined', { participant: person('a', { video: false }) });
  assert.deepEqual(state.participants.map((one) => [one.id, one.video]), [['a', false], ['b', true]]);
  apply('left', { participant: 'b' });
  assert.deepEqual([state.participants.length, state.pinned, state.spoke.size], [1, '', 0]);
  for (let i = 0; i < 600; i++) apply('chat', { participant: i % 2 ? 'a' : 'b', name: 'x', text: `${i}`, sent: i });
  assert.deepEqual([state.chat.length, state.chat[0].text, state.unread], [500, '100', 300]);
});

test('a dead path: restart, then fresh connections at growing intervals, until one works', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const asked = [];
  const recovery = new Recovery((fresh) => asked.push(fresh) > 0);
  recovery.started();
  recovery.changed('connected');
  mock.timers.tick(60000);
  assert.deepEqual(asked, []);
  recovery.changed('disconnected');
  assert.deepEqual(asked, [false]);
  mock.timers.tick(3000);
  assert.deepEqual(asked, [false, true]);
  recovery.started();
  recovery.changed('connecting');
  mock.timers.tick(9000);
  assert.deepEqual(asked, [false, true, true]);
  recovery.changed('connected');
  mock.timers.tick(600000);
  assert.equal(asked.length, 3);
  recovery.changed('failed');
  assert.deepEqual(asked.at(-1), true);
  recovery.close();
  mock.timers.tick(600000);
  assert.equal(asked.length, 4);
  mock.timers.reset();
});

test('lip sync is measured where the browser knows when both play', () => {
  const stats = [
    { type: 'inbound-rtp', kind: 'video', mid: 'video0', framesPerSecond: 25, estimatedPlayoutTimestamp: 1200 },
    { type: 'inbound-rtp', kind: 'audio', mid: 'audio0', estimatedPlayoutTimestamp: 1100 },
    { type: 'inbound-rtp', kind: 'audio', mid: 'audio1', estimatedPlayoutTimestamp: 1100 },
  ];
  const people = [{ audio: 'audio0', video: 'video0' }, { audio: 'audio1', video: 'video1' }];
  assert.deepEqual(skews(stats, people), [100]);
  assert.deepEqual(skews([], people), []);
  stats[0].framesPerSecond = 1;
  assert.deepEqual(skews(stats, people), [], 'a picture that stalls says nothing');
});

test('each medium finds its transport by its ufrag', () => {
  const section = (mid, ufrag) => `m=audio 9 X 1\r\na=ice-ufrag:${ufrag}\r\na=mid:${mid}\r\n`;
  const sdp = `v=0\r\n${section('audio-up', 'aa')}${section('audio0', 'aa')}${section('video-up', 'bb')}${section('content0', 'cc')}`;
  assert.deepEqual([...fragmentsOf(sdp)], [['audio', 'aa'], ['video', 'bb'], ['content', 'cc']]);
});
