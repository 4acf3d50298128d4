/** Chooses the screen and connects the parts; nothing else does. */

import { endedView, missingView } from '../views/ended.js';
import { applyTheme } from '../views/frame.js';
import { homeView } from '../views/home.js';
import { lobbyView } from '../views/lobby.js';
import { meetingView } from '../views/meeting.js';
import { noticesView } from '../views/notices.js';
import { h } from './dom.js';
import { Trouble } from './errors.js';
import { LocalMedia } from './media.js';
import { keepSecrets, pref } from './prefs.js';
import { Session } from './session.js';
import { initialState, NO_STAY } from './state.js';
import { createStore } from './store.js';
import { language, t } from './text.js';

/**
 * What the views are given.
 * @typedef {object} App
 * @property {import('./store.js').Store<import('./state.js').State>} store
 * @property {LocalMedia} media
 * @property {Session|null} session the stay under way
 * @property {(number: string) => void} open goes to the lobby of a meeting
 * @property {() => void} home
 * @property {(wish: import('./session.js').Wish) => Promise<void>} enter goes from the lobby into the meeting
 * @property {(code: string) => Trouble} trouble
 */

const VIEWS = { home: homeView, lobby: lobbyView, meeting: meetingView, ended: endedView, missing: missingView };

const store = createStore(initialState());
const media = new LocalMedia(store);
const sounds = h('div', { hidden: true });

/** @type {App} */
const app = {
  store,
  media,
  session: null,
  open(number) {
    if (location.pathname !== `/j/${number}`) history.pushState(null, '', `/j/${number}`);
    show();
  },
  home() {
    if (location.pathname !== '/') history.pushState(null, '', '/');
    show();
  },
  async enter(wish) {
    if (app.session) return;
    store.update({ trouble: null });
    const session = new Session(store, media, sounds, wish, stayed);
    app.session = session;
    try {
      await session.join();
      keepSecrets(wish.number, { passcode: wish.passcode, hostKey: wish.hostKey });
    } catch (thrown) {
      app.session = null;
      session.leave();
      store.update({ joining: '', trouble: Trouble.of(thrown) });
    }
  },
  trouble: (code) => new Trouble(code),
};

/** The stay is over, for whatever reason. Before the welcome that is a join that failed, and the lobby says so. @param {Trouble|null} trouble */
function stayed(trouble) {
  if (!app.session) return;
  app.session = null;
  if (store.state.screen === 'meeting') {
    media.close();
    store.update({ screen: 'ended', trouble });
  } else {
    store.update({ joining: '', trouble });
  }
}

/** Shows the screen of the address. */
function show() {
  const session = app.session;
  app.session = null;
  session?.leave();
  const path = location.pathname;
  const number = /^\/j\/(\d{1,20})\/?$/.exec(path)?.[1] ?? '';
  const screen = number ? 'lobby' : path === '/' ? 'home' : 'missing';
  media.close();
  store.update({ ...NO_STAY, screen, number, trouble: null, visit: store.state.visit + 1 });
}

function start() {
  document.documentElement.lang = language();
  applyTheme(pref('theme', 'auto'));
  const root = /** @type {HTMLElement} */ (document.getElementById('app'));
  const place = h('div.screen');
  root.append(place, noticesView(store), sounds);
  show();
  /** @type {{element: HTMLElement, title: string, close: () => void}|null} */
  let view = null;
  store.watch(['screen', 'visit'], ({ screen }) => {
    const first = view === null;
    view?.close();
    view = VIEWS[screen](app);
    place.replaceChildren(view.element);
    document.title = t('page.title', { title: view.title });
    // A person who cannot see the new screen is taken to its heading; on the first one the browser does that itself.
    if (!first) /** @type {HTMLElement|null} */ (view.element.querySelector('h1'))?.focus({ preventScroll: true });
  });
  addEventListener('popstate', show);
  addEventListener('pagehide', () => app.session?.leave());
  // Out of the browser's cache of pages, where the stay has ended.
  addEventListener('pageshow', (event) => event.persisted && show());
}

start();
