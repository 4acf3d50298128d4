import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { probeAnswer } from '../app/climb.js';
import { Connection } from '../app/connection.js';
import { Journal } from '../app/journal.js';
import { iceServers } from '../app/relays.js';
import { received } from '../app/vigil.js';

/** As much of an RTCPeerConnection as the connection looks at. */
class FakePeerConnection extends EventTarget {
  static all = [];
  connectionState = 'new';
  iceConnectionState = 'new';
  localDescription = null;
  bytes = 1000;
  sent = 1000;

  constructor(configuration) {
    super();
    this.configuration = configuration;
    FakePeerConnection.all.push(this);
  }

  async setRemoteDescription() {}
  async createAnswer() {
    return { type: 'answer', sdp: `answer ${FakePeerConnection.all.indexOf(this)}` };
  }
  async setLocalDescription(description) {
    this.localDescription = description;
  }
  getTransceivers() {
    return [];
  }
  async getStats() {
    return new Map([
      ['T', { id: 'T', type: 'transport', dtlsState: 'connected', bytesReceived: this.bytes, bytesSent: this.sent }],
      ['O', { id: 'O', type: 'outbound-rtp', mid: 'audio-up', transportId: 'T' }],
    ]);
  }
  close() {
    this.connectionState = 'closed';
  }
  become(state) {
    this.connectionState = this.iceConnectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }
}

function connection() {
  FakePeerConnection.all = [];
  globalThis.RTCPeerConnection = FakePeerConnection;
  const said = { negotiated: [], states: [], slots: 0, silent: 0 };
  const one = new Connection({
    tracks: () => ({}),
    negotiate: (fresh) => said.negotiated.push(fresh) > 0,
    slots: () => void said.slots++,
    state: (state) => said.states.push(state),
    silent: () => void said.silent++,
  });
  return { one, said, all: FakePeerConnection.all };
}

test('a connection stays until the one that follows it is connected', async () => {
  const { one, said, all } = connection();
  assert.equal(await one.answer({ fresh: true, sdp: 'x' }), 'answer 0');
  all[0].become('connected');
  assert.equal(said.slots, 1);
  await one.answer({ fresh: true, sdp: 'x', relays: [{ urls: ['turns:meet.example:443'], username: 'u', credential: 'c' }] });
  assert.equal(all[1].configuration.iceServers[0].urls, 'turns:meet.example:443');
  assert.equal(all[0].connectionState, 'connected');
  all[1].become('connecting');
  assert.deepEqual(said.states, ['connected']);
  assert.equal(said.slots, 1);
  all[1].become('connected');
  assert.equal(all[0].connectionState, 'closed');
  assert.equal(said.slots, 2);
  assert.ok(one.alive);
  one.close();
  assert.equal(all[1].connectionState, 'closed');
});

test('what the box asked for is handed on to the next connection, but not into another session', async (t) => {
  class Sending extends FakePeerConnection {
    encodings = [{ rid: 'h' }, { rid: 'm' }, { rid: 'l' }];
    sender = {
      getParameters: () => ({ encodings: this.encodings, codecs: [] }),
      setParameters: async ({ encodings }) => void (this.encodings = encodings),
      replaceTrack: async () => {},
    };
    getTransceivers() {
      return [{ mid: 'video-up', sender: this.sender }];
    }
  }
  const { one, all } = connection();
  t.after(() => one.close());
  globalThis.RTCPeerConnection = Sending;
  const settled = async () => {
    for (let i = 0; i < 50; i++) await Promise.resolve();
  };
  const sent = async () => {
    await one.answer({ fresh: true, sdp: 'x' });
    await one.setTrack('video', {});
    await settled();
    return all.at(-1).encodings.map(({ active, maxBitrate }) => [active, maxBitrate]);
  };
  const whole = await sent();
  assert.ok(whole.every(([active]) => active));
  one.setNeeded([{ medium: 'video', rids: ['l'] }]);
  one.setCeilings([{ medium: 'video', rid: 'l', bitrate: 60_000 }]);
  const asked = await sent();
  assert.deepEqual(asked.map(([active]) => active), [false, false, true]);
  assert.equal(asked[2][1], 60_000);
  one.forget();
  assert.deepEqual(await sent(), whole);
});

test('silence asks for a new connection at once, an outage shorter than a second for nothing', async (t) => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const { one, said, all } = connection();
  const pass = async (ms) => {
    for (let gone = 0; gone < ms; gone += 250) {
      now += 250;
      mock.timers.tick(250);
      for (let i = 0; i < 5; i++) await Promise.resolve();
    }
  };
  await one.answer({ fresh: true, sdp: 'x' });
  all[0].become('connected');
  await pass(1000); // nothing came
  all[0].bytes += 1;
  await pass(500);
  assert.deepEqual(said.negotiated, []);
  await pass(1750);
  assert.deepEqual(said.negotiated, [true]);
  assert.equal(said.silent, 1);
  assert.ok(!one.alive);
  one.close();
  mock.timers.reset();
});

test('what the box has given up is dead at once', async () => {
  const { one, said, all } = connection();
  const lost = [{ medium: 'audio', state: 'lost', dscp: -1 }];
  await one.answer({ fresh: true, sdp: 'x' });
  one.heard(lost); // of the connection before
  assert.deepEqual(said.negotiated, []);
  all[0].become('connected');
  one.heard([{ medium: 'audio', state: 'connected', dscp: 46 }]);
  assert.deepEqual(said.negotiated, []);
  one.heard(lost);
  one.heard(lost);
  assert.deepEqual(said.negotiated, [true]);
  one.close();
});

test('after a sleep a silence of half a second is one, and one that ends is none', async (t) => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const { one, said, all } = connection();
  const look = async (later, bytes) => {
    all[0].bytes += bytes;
    now += later;
    mock.timers.tick(250);
    for (let i = 0; i < 5; i++) await Promise.resolve();
  };
  await one.answer({ fresh: true, sdp: 'x' });
  all[0].become('connected');
  for (const later of [250, 250, 250]) await look(later, 10);
  await look(10000, 0);
  await look(250, 10);
  await look(250, 0);
  assert.deepEqual(said.negotiated, []);
  await look(4000, 0);
  await look(250, 0);
  assert.deepEqual(said.negotiated, []);
  await look(250, 0);
  assert.deepEqual(said.negotiated, [true]);
  one.close();
  mock.timers.reset();
});

test('what the box hears no more asks for a new connection where something was sent meanwhile', async (t) => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout', 'Date'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const { one, said, all } = connection();
  const pass = async (looks, sends) => {
    for (let i = 0; i < looks; i++) {
      all[0].bytes += 100;
      all[0].sent += sends;
      now += 250;
      mock.timers.tick(250);
      for (let j = 0; j < 5; j++) await Promise.resolve();
    }
  };
  const silent = [{ medium: 'audio', state: 'connected', dscp: 46, silent: true }];
  await one.answer({ fresh: true, sdp: 'x' });
  all[0].become('connected');
  await pass(8, 1000);
  one.heard([{ ...silent[0], silent: undefined }]);
  await pass(6, 40); // muted: reports alone
  one.heard(silent);
  await pass(2, 1000); // speaks again: the box cannot have heard it yet
  one.heard(silent);
  assert.deepEqual(said.negotiated, []);
  await pass(4, 1000);
  one.heard([{ ...silent[0], medium: 'video' }]);
  assert.deepEqual(said.negotiated, []);
  one.heard(silent);
  one.heard(silent);
  assert.deepEqual(said.negotiated, [true]);
  assert.equal(said.silent, 1);
  one.close();
  mock.timers.reset();
});

test('what came is counted by transport, or by pair where a browser has no transports', () => {
  const pairs = [
    { id: 'a', type: 'candidate-pair', selected: true, bytesReceived: 5 },
    { id: 'b', type: 'candidate-pair', bytesReceived: 7 },
  ];
  assert.deepEqual([...received(pairs)], [['a', 5]]);
  assert.deepEqual([...received([...pairs, { id: 't', type: 'transport', dtlsState: 'connected', bytesReceived: 9 }])], [['t', 9]]);
});

test('one relay of all media is used, by a name where the browser needs one', () => {
  const relays = [
    { medium: 'audio', urls: ['turns:a:443'], username: 'a', credential: 'a' },
    { urls: ['turns:192.0.2.1:443?transport=tcp', 'turns:[2001:db8::1]:443', 'turns:meet.example:443'], username: 'u', credential: 'c' },
  ];
  assert.equal(iceServers(relays, false)[0].urls, 'turns:192.0.2.1:443?transport=tcp');
  assert.equal(iceServers(relays, true)[0].urls, 'turns:meet.example:443');
  assert.deepEqual(iceServers(relays.slice(0, 1), false), []);
  assert.deepEqual(iceServers([], true), []);
});

test('the answer of a probe names the addresses of both families', () => {
  const sdp = probeAnswer({ ufrag: 'u', password: 'p', candidates: ['192.0.2.1:8801', '[2001:db8::1]:8801', 'nonsense'] });
  assert.match(sdp, /candidate:1 1 udp \d+ 192\.0\.2\.1 8801 typ host/);
  assert.match(sdp, /candidate:2 1 udp \d+ 2001:db8::1 8801 typ host/);
  assert.ok(!sdp.includes('nonsense'));
});

test('the journal tells what came of each rung', (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const pc = new EventTarget();
  const journal = new Journal(pc);
  const candidate = (id, more) => ({ id, type: 'local-candidate', candidateType: 'host', ...more });
  const pair = (localCandidateId, more) => ({ type: 'candidate-pair', transportId: 'T', localCandidateId, requestsSent: 1, responsesReceived: 0, state: 'in-progress', ...more });
  const candidates = [candidate('u', { protocol: 'udp' }), candidate('t', { protocol: 'tcp' })];
  journal.note([...candidates, pair('u'), pair('t', { requestsSent: 0, state: 'waiting' })]);
  now = 300;
  journal.note([...candidates, pair('u'), pair('t', { responsesReceived: 1 })]);
  pc.dispatchEvent(Object.assign(new Event('icecandidateerror'), { errorCode: 701 }));
  now = 1000;
  assert.deepEqual(journal.of('T'), [
    { rung: 'udp', result: 'silent', ms: 1000 },
    { rung: 'tcp', result: 'answers', ms: 300 },
    { rung: 'tls', result: 'untried', ms: 0 },
  ]);
  assert.equal(journal.of('other')[2].result, 'unreachable');
});
