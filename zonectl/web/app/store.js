/**
 * The one store. State is an immutable object whose members are replaced, never changed; watchers are told after each replacement.
 *
 * @template {object} S
 * @typedef {object} Store
 * @property {S} state the present state
 * @property {(patch: Partial<S>) => void} update replaces members
 * @property {(keys: (keyof S)[], fn: (state: S) => void) => () => void} watch calls fn now and after a change of any of the keys
 */

/**
 * @template {object} S
 * @param {S} initial
 * @returns {Store<S>}
 */
export function createStore(initial) {
  let state = Object.freeze({ ...initial });
  /** @type {Set<{keys: (keyof S)[], fn: (state: S) => void}>} */
  const watchers = new Set();
  return {
    get state() {
      return state;
    },
    update(patch) {
      const before = state;
      state = Object.freeze({ ...state, ...patch });
      for (const watcher of [...watchers]) {
        if (watchers.has(watcher) && watcher.keys.some((key) => before[key] !== state[key])) watcher.fn(state);
      }
    },
    watch(keys, fn) {
      const watcher = { keys, fn };
      watchers.add(watcher);
      fn(state);
      return () => void watchers.delete(watcher);
    },
  };
}
