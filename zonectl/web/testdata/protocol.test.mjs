import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cut, decode, encode, meetingNumber, spaced } from '../app/protocol.js';

const meeting = { number: '123456789', title: 'T', locked: false };
const person = { id: 'p1', name: 'N', role: 'host', audio: true, video: false, sharing: false };

test('messages of the server are taken whole, unknown ones left aside', () => {
  const good = [
    { type: 'welcome', version: 1, session: 's', secret: 'x', participant: 'p1', role: 'host', resumed: false, router: 'b', meeting },
    { type: 'offer', generation: 1, fresh: true, sdp: 'v=0' },
    { type: 'participants', state: 1, participants: [person] },
    { type: 'participants', state: 1, participants: null },
    { type: 'joined', state: 2, participant: { ...person, away: true }, later: 'a member of a newer server' },
    { type: 'send-codecs', media: [{ medium: 'video', codec: 'vp9' }] },
    { type: 'slots', slots: [{ mid: 'audio0', medium: 'audio' }] },
    { type: 'transports', transports: [{ medium: 'video', state: 'connected', rung: 'udp', dscp: 34 }] },
    { type: 'send-layers', media: [{ medium: 'video', rids: ['l', 'm'] }] },
    { type: 'send-layers', media: [{ medium: 'video', rids: [] }] },
    { type: 'send-rates', ceilings: [{ medium: 'video', rid: 'm', bitrate: 380000 }, { medium: 'content', bitrate: 400000 }] },
    { type: 'bye', error: { code: 'ended', text: 'T' } },
    { type: 'drain', on: true, reason: 'cables', left_s: 600 },
    { type: 'drain', on: false },
    { type: 'pong', sent: 1 },
  ];
  for (const message of good) assert.deepEqual(decode(JSON.stringify(message)), message);
  assert.equal(decode('{"type":"of-the-future"}'), null);
  assert.equal(decode('{"type":"constructor"}'), null);
});

test('what is no message is refused', () => {
  const bad = [
    '', 'x', '[]', 'null', '1', '{}', '{"type":1}', '{"type":"left","state":1}', '{"type":"offer","generation":"1","fresh":true,"sdp":""}',
    '{"type":"slots","slots":[{"mid":"audio0","medium":"smell"}]}', '{"type":"slots","slots":[null]}', '{"type":"bye","error":"no"}', '{"type":"drain","on":true,"left_s":"10"}',
    '{"type":"participants","state":1,"participants":{}}', '{"type":"send-layers","media":[{"medium":"video","rids":[1]}]}', '{"type":"send-rates","ceilings":[{"medium":"video","bitrate":"1"}]}',
  ];
  for (const text of bad) assert.throws(() => decode(text), undefined, text);
});

test('the client says only what a client may', () => {
  assert.equal(encode('set-mute', { medium: 'audio', muted: true }), '{"type":"set-mute","medium":"audio","muted":true}');
  assert.throws(() => encode('welcome'));
});

// The vectors are the protocol's own; each holds what both sides must understand.
const vectors = new URL('../../wire/testdata/', import.meta.url);
test('vectors of the protocol', { skip: existsSync(vectors) ? false : 'no vectors here' }, () => {
  for (const name of readdirSync(vectors).filter((file) => file.endsWith('.json'))) {
    for (const message of messagesIn(JSON.parse(readFileSync(new URL(name, vectors), 'utf8')))) {
      const text = JSON.stringify(message);
      try {
        decode(text);
      } catch (error) {
        assert.fail(`${name}: ${error.message}: ${text.slice(0, 200)}`);
      }
    }
  }
});

/** Messages of the server anywhere in a file of valid vectors. */
function* messagesIn(value) {
  if (typeof value !== 'object' || value === null) return;
  if (typeof value.type === 'string' && !('error' in value && value.valid === false)) yield value;
  else for (const inner of Object.values(value)) yield* messagesIn(inner);
}

test('text is cut between characters', () => {
  assert.equal(cut('hello', 10), 'hello');
  assert.equal(cut('회의회의', 7), '회의');
  assert.equal(cut('a🙂b', 4), 'a');
});

test('meeting numbers as people type, paste and read them', () => {
  assert.equal(meetingNumber(' 482 913-756 '), '482913756');
  assert.equal(meetingNumber('https://meet.example/j/482913756?x=1'), '482913756');
  assert.equal(spaced('482913756'), '482 913 756');
  assert.equal(spaced('4829137561'), '482 913 7561');
  assert.equal(spaced('12345678901'), '123 4567 8901');
  assert.equal(spaced('1234'), '123 4');
});
