import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { TABLES } from '../app/text.js';

const sources = ['../app/', '../views/'].flatMap((folder) => {
  const url = new URL(folder, import.meta.url);
  return readdirSync(url).filter((name) => name.endsWith('.js') && !name.startsWith('text')).map((name) => readFileSync(new URL(name, url), 'utf8'));
});

/** Keys whose last or first part is chosen while running: a pattern for each. */
const COMPUTED = sources.flatMap((source) =>
  [...source.matchAll(/`((?:[\w.-]|\$\{[^}]*\})+)`/g)]
    .map((match) => match[1])
    .filter((key) => key.includes('${') && key.includes('.'))
    .map((key) => new RegExp(`^${key.replace(/\./g, '\\.').replace(/\$\{[^}]*\}/g, '[\\w-]+')}$`)),
);
const LITERAL = new Set(sources.flatMap((source) => [...source.matchAll(/'([a-z]+(?:\.[\w-]+)+|close|cancel|dismiss)'/g)].map((match) => match[1])));

test('both languages have the same keys and parameters', () => {
  assert.deepEqual(Object.keys(TABLES.ko), Object.keys(TABLES.en));
  for (const [key, text] of Object.entries(TABLES.en)) {
    const parameters = (/** @type {string} */ one) => [...one.matchAll(/\{\w+\}/g)].map(String).sort();
    assert.deepEqual(parameters(TABLES.ko[key]), parameters(text), key);
    assert.ok(TABLES.ko[key].trim() !== '' && text.trim() !== '', key);
  }
});

test('every text is used, and every text that is used is there', () => {
  for (const key of Object.keys(TABLES.en)) {
    assert.ok(key.startsWith('error.') || LITERAL.has(key) || COMPUTED.some((pattern) => pattern.test(key)), `nobody says ${key}`);
  }
  const used = sources.flatMap((source) => [...source.matchAll(/\bt\('([^']+)'/g)].map((match) => match[1]));
  for (const key of used) assert.ok(Object.hasOwn(TABLES.en, key), `${key} is missing`);
});

test('every code of an error says what happened and what to do', () => {
  const codes = new Set(Object.keys(TABLES.en).flatMap((key) => /^error\.(.+)\.(?:text|advice)$/.exec(key)?.[1] ?? []));
  const wire = readFileSync(new URL('../../wire/errors.go', import.meta.url), 'utf8');
  for (const [, code] of wire.matchAll(/Code = "([a-z-]+)"/g)) if (code !== 'bad-message') codes.add(code);
  for (const code of codes) for (const part of ['text', 'advice']) assert.ok(TABLES.en[`error.${code}.${part}`], `${code} has no ${part}`);
});
