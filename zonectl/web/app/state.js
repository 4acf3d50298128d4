/** What the store holds. */

import { drainOf } from './drain.js';
import { initialLocal } from './media.js';
import { pref } from './prefs.js';

/** @typedef {import('./protocol.js').Meeting} Meeting */
/** @typedef {import('./protocol.js').Participant} Participant */
/** @typedef {import('./protocol.js').Slot} Slot */
/** @typedef {import('./protocol.js').TransportState} TransportState */
/** @typedef {{id: string, mine: boolean, name: string, text: string, sent: number}} ChatLine */
/** @typedef {{id: number, kind: 'info'|'error', text: string, topic: string, action: {label: string, run: () => void}|null}} Notice */
/** @typedef {''|'people'|'chat'|'connection'} Panel */
/** @typedef {import('./protocol.js').MediumQuality} MediumQuality */
/** @typedef {{stats: import('./stats.js').MediumStats[], quality: MediumQuality[]}} Moment */

/**
 * @typedef {object} State
 * @property {'home'|'lobby'|'meeting'|'ended'|'missing'} screen
 * @property {number} visit counts up when an address is opened, also the same one again
 * @property {string} number of the meeting
 * @property {string} name of this person
 * @property {import('./media.js').Local} local
 * @property {''|'lookup'|'zone'|'router'|'channel'} joining the stage of a join under way
 * @property {import('./errors.js').Trouble|null} trouble why the join failed, or why the stay ended
 * @property {Meeting|null} meeting
 * @property {string} me participant id
 * @property {import('./protocol.js').Role} role
 * @property {Participant[]} participants everybody, in order of joining
 * @property {Slot[]} slots
 * @property {string} speaker
 * @property {Map<string, number>} spoke when each participant spoke last
 * @property {TransportState[]} transports as the router sees them
 * @property {import('./stats.js').MediumStats[]} stats as this browser sees them
 * @property {MediumQuality[]} quality of the own media, as the box judges them
 * @property {Moment[]} trail the last two minutes of both, oldest first
 * @property {number[]} skews how far picture is ahead of sound, by person, milliseconds
 * @property {import('./lookup.js').Tested[]} zones what the network test found, best first
 * @property {ChatLine[]} chat
 * @property {number} unread
 * @property {boolean} online whether the control channel works
 * @property {'connecting'|'connected'|'disconnected'|'failed'} media
 * @property {boolean} blocked the browser wants a click before it plays sound
 * @property {number} videos counts up when the video elements are other ones
 * @property {'grid'|'speaker'} layout
 * @property {string} pinned participant
 * @property {number} page
 * @property {Panel} panel
 * @property {import('./drain.js').Drain|null} drain that everybody will be sent away, or will not after all
 * @property {Notice[]} notices
 */

/** Everything of one stay, as it is before it. */
export const NO_STAY = Object.freeze({
  joining: /** @type {State['joining']} */ (''),
  meeting: null,
  me: '',
  role: /** @type {State['role']} */ ('participant'),
  participants: [],
  slots: [],
  speaker: '',
  spoke: new Map(),
  transports: [],
  stats: [],
  quality: [],
  trail: [],
  skews: [],
  zones: /** @type {State['zones']} */ ([]),
  chat: [],
  unread: 0,
  online: false,
  media: /** @type {State['media']} */ ('connecting'),
  blocked: false,
  drain: /** @type {State['drain']} */ (null),
  videos: 0,
  pinned: '',
  page: 0,
  panel: /** @type {Panel} */ (''),
});

/** @returns {State} */
export function initialState() {
  return {
    ...NO_STAY,
    screen: 'home',
    visit: 0,
    number: '',
    name: pref('name', ''),
    local: initialLocal(),
    trouble: null,
    layout: pref('layout', 'grid'),
    notices: [],
  };
}

const MAX_CHAT_LINES = 500;
/** Samples of the last two minutes. */
export const MAX_TRAIL = 60;

/** The trail with one moment more. @param {State} state @param {import('./stats.js').MediumStats[]} stats @returns {Moment[]} */
export function trailed({ trail, quality }, stats) {
  return [...trail, { stats, quality }].slice(-MAX_TRAIL);
}

/**
 * What a message of the server changes in the state. Messages that ask for an act (offer, muted, bye …) are session.js's.
 * @type {Record<string, (state: State, message: any) => Partial<State>>}
 */
export const REDUCERS = {
  participants: (_, { participants }) => ({ participants: participants ?? [] }),
  joined: ({ participants }, { participant }) => ({
    participants: participants.some((one) => one.id === participant.id)
      ? participants.map((one) => (one.id === participant.id ? participant : one))
      : [...participants, participant],
  }),
  left: ({ participants, pinned, spoke }, { participant }) => {
    const rest = new Map(spoke);
    rest.delete(participant);
    return { participants: participants.filter((one) => one.id !== participant), pinned: pinned === participant ? '' : pinned, spoke: rest };
  },
  'meeting-changed': (_, { meeting }) => ({ meeting }),
  slots: (_, { slots }) => ({ slots: slots ?? [] }),
  speaker: ({ spoke }, { participant }) => ({
    speaker: participant,
    spoke: participant ? new Map(spoke).set(participant, Date.now()) : spoke,
  }),
  quality: (_, { media }) => ({ quality: media ?? [] }),
  transports: (_, { transports }) => ({ transports: transports ?? [] }),
  chat: ({ chat, me, panel, unread }, { participant, name, text, sent }) => ({
    chat: [...chat, { id: participant, mine: participant === me, name, text, sent }].slice(-MAX_CHAT_LINES),
    unread: panel === 'chat' || participant === me ? unread : unread + 1,
  }),
  'role-changed': (_, { role }) => ({ role }),
  drain: (_, message) => ({ drain: drainOf(message, Date.now()) }),
};

let lastNotice = 0;

/**
 * Shows a sentence for some seconds; errors stay until they are dismissed.
 * @param {import('./store.js').Store<State>} store
 * @param {'info'|'error'} kind
 * @param {string} text
 * @param {{action?: Notice['action'], topic?: string}} [more] a notice takes the place of an older one of the same topic
 */
export function notify(store, kind, text, { action = null, topic = text } = {}) {
  const id = ++lastNotice;
  const others = store.state.notices.filter((notice) => notice.topic !== topic).slice(-3);
  store.update({ notices: [...others, { id, kind, text, topic, action }] });
  if (kind === 'info') setTimeout(() => dismiss(store, id), action ? 20000 : 6000);
}

/** @param {import('./store.js').Store<State>} store @param {number} id */
export function dismiss(store, id) {
  if (store.state.notices.some((notice) => notice.id === id)) {
    store.update({ notices: store.state.notices.filter((notice) => notice.id !== id) });
  }
}
