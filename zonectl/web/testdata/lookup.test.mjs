import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Trouble } from '../app/errors.js';
import { hedged, lookUp, routeToBest } from '../app/lookup.js';

const silence = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Trouble('network'))));

test('those that say nothing hold nobody up, and are let go when another one has answered', async () => {
  const let_go = [];
  const began = performance.now();
  const answer = await hedged(['dead', 'silent', 'well'], (one, signal) => {
    if (one === 'dead') return Promise.reject(new Trouble('network'));
    if (one === 'well') return Promise.resolve('answer');
    return silence(signal).catch((trouble) => {
      let_go.push(one);
      throw trouble;
    });
  });
  assert.equal(answer, 'answer');
  assert.ok(performance.now() - began < 3000, `after ${performance.now() - began} ms`);
  await Promise.resolve();
  assert.deepEqual(let_go, ['silent']);
});

test('what somebody says counts, and nobody else is asked', async () => {
  const asked = [];
  const refused = new Trouble('refused');
  await assert.rejects(
    hedged(['one', 'two'], (one) => {
      asked.push(one);
      return Promise.reject(refused);
    }),
    (trouble) => trouble === refused,
  );
  assert.deepEqual(asked, ['one']);
  await assert.rejects(
    hedged([], () => Promise.resolve()),
    (trouble) => trouble instanceof Trouble,
  );
});

/** Answers requests as controllers would; what is not named says nothing until it is let go. */
function answering(answers) {
  globalThis.fetch = (url, { signal }) => {
    const answer = answers[url];
    if (!answer) return silence(signal);
    return Promise.resolve({ ok: answer.code === undefined, json: () => Promise.resolve(answer) });
  };
}

const elsewhere = (...controllers) => ({ code: 'elsewhere', text: 'It is there.', zone: { id: 'b', name: 'B', controllers } });

test('a lookup goes on to the zone that has the meeting, past a controller that says nothing', async () => {
  answering({ '/v1/lookup': elsewhere('https://b1', 'https://b2'), 'https://b2/v1/lookup': { token: 'of b' } });
  const began = performance.now();
  assert.equal((await lookUp({ meeting: '1234' })).token, 'of b');
  assert.ok(performance.now() - began < 3000, `after ${performance.now() - began} ms`);
});

test('the zone that the first controller names is asked next for a router', async () => {
  answering({ 'https://a/v1/route': elsewhere('https://b'), 'https://b/v1/route': { router: 'r', control: 'wss://b' } });
  const tested = [{ base: 'https://a' }, { base: 'https://c' }, { base: 'https://b' }];
  const began = performance.now();
  const { route, tested: one } = await routeToBest(tested, 'token');
  assert.equal(route.router, 'r');
  assert.equal(one.base, 'https://b');
  assert.ok(performance.now() - began < 1000, `after ${performance.now() - began} ms`);
});

test('browsers without AbortSignal.any are let go, and those that are still asked with them', async () => {
  const any = AbortSignal.any;
  AbortSignal.any = undefined;
  try {
    const signals = [];
    answering({ '/v1/lookup': elsewhere('https://b1', 'https://b2'), 'https://b2/v1/lookup': { token: 'of b' } });
    const answers = globalThis.fetch;
    globalThis.fetch = (url, options) => {
      signals.push([url, options.signal]);
      return answers(url, options);
    };
    assert.equal((await lookUp({ meeting: '1234' })).token, 'of b');
    const silent = signals.find(([url]) => url === 'https://b1/v1/lookup');
    assert.ok(silent[1].aborted);
  } finally {
    AbortSignal.any = any;
  }
});

test('whoever says nothing for long is no longer waited for', async () => {
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (call, ms) => setTimeout(call, ms / 100);
  try {
    answering({});
    await assert.rejects(lookUp({ meeting: '1234' }), (trouble) => trouble instanceof Trouble && trouble.code === 'network');
  } finally {
    globalThis.setTimeout = setTimeout;
  }
});
