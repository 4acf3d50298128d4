import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assignSlots, capacityOf, changedViews, gridOf, hue, initials, ordered, pageOf, slotsFor, stepHeight, viewsOf } from '../app/layout.js';

test('a grid holds all tiles and no other one is larger', () => {
  for (let n = 1; n <= 49; n++) {
    for (const [width, height] of [[1256, 660], [348, 560], [900, 300], [2500, 1300]]) {
      const grid = gridOf(n, width, height, 8);
      assert.ok(grid.columns * grid.rows >= n, `${n} in ${width}×${height}`);
      assert.ok(grid.columns * grid.width + (grid.columns - 1) * 8 <= width);
      assert.ok(grid.rows * grid.height + (grid.rows - 1) * 8 <= height);
      for (let columns = 1; columns <= n; columns++) {
        const rows = Math.ceil(n / columns);
        const other = Math.min((width - 8 * (columns - 1)) / columns, ((height - 8 * (rows - 1)) / rows) * (16 / 9));
        assert.ok(Math.floor(other) <= grid.width);
      }
    }
  }
});

test('a page holds what is not too narrow', () => {
  assert.equal(capacityOf(348, 560, 8, 140), 12);
  assert.equal(capacityOf(10, 10, 8, 140), 1);
});

test('pages', () => {
  assert.deepEqual(pageOf([1, 2, 3, 4, 5], 1, 2), { items: [3, 4], page: 1, pages: 3 });
  assert.deepEqual(pageOf([1, 2, 3], 9, 2), { items: [3], page: 1, pages: 2 });
  assert.deepEqual(pageOf([], 0, 4), { items: [], page: 0, pages: 1 });
});

test('who speaks comes to the first page, in place of who was silent longest', () => {
  assert.deepEqual(ordered(['a', 'b', 'c', 'd'], new Map([['a', 5]]), 2), ['a', 'b', 'c', 'd']);
  assert.deepEqual(ordered(['a', 'b', 'c', 'd'], new Map([['a', 5], ['d', 7]]), 2), ['a', 'd', 'c', 'b']);
  assert.deepEqual(ordered(['a', 'b', 'c'], new Map([['a', 5], ['b', 6], ['c', 4]]), 2), ['a', 'b', 'c']);
});

test('whoever has a slot keeps it', () => {
  let slots = assignSlots(['', '', ''], ['a', 'b']);
  assert.deepEqual(slots, ['a', 'b', '']);
  slots = assignSlots(slots, ['b', 'c', 'd', 'e']);
  assert.deepEqual([...slots].sort(), ['b', 'c', 'd']);
  assert.equal(slots[1], 'b');
  // Random wishes: everybody wanted that fits is in exactly one slot, and nobody moves without need.
  for (let round = 0; round < 2000; round++) {
    const wanted = 'abcdefghij'.split('').sort(() => Math.random() - 0.5).slice(0, Math.floor(Math.random() * 10));
    const next = assignSlots(slots, wanted);
    const able = wanted.slice(0, slots.length);
    assert.deepEqual(next.filter(Boolean).sort(), [...able].sort());
    slots.forEach((id, at) => able.includes(id) && id && assert.equal(next[at], id));
    slots = next;
  }
});

test('views name what changed only', () => {
  const tiles = new Map([['a', { height: 330, priority: 1 }]]);
  const first = viewsOf(['a', ''], tiles);
  assert.deepEqual(first, [{ slot: 0, participant: 'a', height: 360, priority: 1 }, { slot: 1, participant: '-' }]);
  assert.deepEqual(changedViews([], first), first);
  assert.deepEqual(changedViews(first, viewsOf(['a', ''], new Map([['a', { height: 340, priority: 1 }]]))), []);
  assert.equal(changedViews(first, viewsOf(['a', ''], new Map([['a', { height: 700, priority: 2 }]]))).length, 1);
});

test('heights, slots, initials and colours', () => {
  assert.deepEqual([50, 90, 190, 380, 800, 5000].map(stepHeight), [90, 90, 180, 360, 720, 1080]);
  assert.equal(slotsFor(1920, 1080), 48);
  assert.equal(slotsFor(360, 740), slotsFor(740, 360));
  assert.ok(slotsFor(360, 740) >= 9 && slotsFor(360, 740) < 25);
  assert.equal(slotsFor(200, 200), 9);
  assert.deepEqual(['Ada Lovelace', 'Bob', '김민수', '  ', 'Ada M. Lovelace'].map(initials), ['AL', 'B', '김', '?', 'AL']);
  assert.ok(hue('p1') >= 0 && hue('p1') <= 360 && hue('p1') !== hue('p2'));
});
