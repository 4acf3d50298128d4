/**
 * One stay in a meeting: the four stages of the join, what the server says afterwards, and what the person does. It owns the control channel, the
 * peer connection and the playback, and writes what it learns to the store.
 */

import { Connection } from './connection.js';
import { Control } from './control.js';
import { Trouble } from './errors.js';
import { moving } from './figures.js';
import { slotsFor } from './layout.js';
import { pairs, skews } from './lipsync.js';
import { lookUp, routeToBest, testControllers } from './lookup.js';
import { Playback } from './playback.js';
import { cut, MAX_CHAT, MAX_NAME, MAX_VERSION, MEDIA, MIN_VERSION } from './protocol.js';
import { NO_STAY, notify, REDUCERS, trailed } from './state.js';
import { t } from './text.js';

/** @typedef {import('./protocol.js').Medium} Medium */
/** @typedef {import('./protocol.js').Message} Message */
/** @typedef {{number: string, name: string, passcode: string, hostKey: string}} Wish */

const CLIENT = 'meetzone-web/1';
const SAMPLE_MS = 2000;
const REPORT_EVERY = 3; // samples
const FIRST_ATTEMPTS = 4;

/** Reasons of a Bye that a new session can get over. */
const REJOINABLE = new Set(['session', 'token']);

export class Session {
  #store;
  #media;
  #wish;
  #ended;
  #connection;
  #unhook;
  /** @type {Control|null} */
  #control = null;
  #controller = '';
  #token = '';
  /** @type {{session: string, secret: string}|null} */
  #resume = null;
  #lastState = 0;
  #generation = -1;
  #answered = -1;
  #offers = Promise.resolve();
  #open = true;
  #rejoins = 0;
  #failures = 0;
  #videoSlots = slotsFor(Math.max(screen.width, innerWidth), Math.max(screen.height, innerHeight));
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #sampling;
  #samples = 0;

  /**
   * @param {import('./store.js').Store<import('./state.js').State>} store
   * @param {import('./media.js').LocalMedia} media
   * @param {HTMLElement} host where audio elements live
   * @param {Wish} wish
   * @param {(trouble: Trouble|null) => void} ended the stay is over
   */
  constructor(store, media, host, wish, ended) {
    this.#store = store;
    this.#media = media;
    this.#wish = wish;
    this.#ended = ended;
    this.playback = new Playback(
      host,
      (blocked) => store.update({ blocked }),
      () => store.update({ videos: store.state.videos + 1 }),
    );
    this.#connection = new Connection({
      tracks: () => Object.fromEntries(MEDIA.map((medium) => [medium, media.sent(medium)])),
      negotiate: (fresh) => this.#control?.send('negotiate', { fresh }) ?? false,
      slots: (slots) => this.playback.setSlots(slots),
      state: (state) => store.update({ media: state }),
      silent: () => this.#control?.doubt(),
    });
    this.#unhook = media.onTrack((medium, track) => this.#send(medium, track));
  }

  /** How many pictures can be received at once: what was asked for, or offered since. */
  get videoSlots() {
    return this.playback.videoSlots ?? this.#videoSlots;
  }

  /** Whether the box has said how many that are. */
  get offered() {
    return this.playback.videoSlots !== null;
  }

  // ---- join, stage by stage ----

  /** Stages 1 to 3, then the control channel. Throws a Trouble; afterwards errors come through ended. */
  async join() {
    const control = await this.#findRouter();
    this.#store.update({ joining: 'channel' });
    this.#control = new Control(control, {
      hello: () => this.#hello(),
      message: (message) => this.#receive(message),
      lost: () => this.#lost(),
    });
    this.#sampling = setInterval(() => void this.#sample(), SAMPLE_MS);
  }

  /** @returns {Promise<string>} URL of the control channel */
  async #findRouter() {
    const { number, passcode, hostKey } = this.#wish;
    this.#store.update({ joining: 'lookup' });
    const found = await lookUp({ meeting: number, passcode: passcode || undefined, host_key: hostKey || undefined });
    this.#store.update({ joining: 'zone', meeting: found.meeting });
    const tested = await testControllers(found.zones ?? []);
    this.#store.update({ joining: 'router' });
    const { route, tested: chosen } = await routeToBest(tested, found.token);
    this.#store.update({ zones: tested.map((one) => ({ ...one, picked: one === chosen })) });
    this.#controller = chosen.base;
    this.#token = found.token;
    return route.control;
  }

  /** A connection that never came about is given up after some attempts; one that was lost is not. */
  #lost() {
    this.#store.update({ online: false });
    if (this.#store.state.joining === 'channel' && ++this.#failures >= FIRST_ATTEMPTS) this.#finish(new Trouble('network'));
  }

  #hello() {
    const resume = this.#resume ? { ...this.#resume, state: this.#lastState } : undefined;
    return {
      min_version: MIN_VERSION,
      max_version: MAX_VERSION,
      client: CLIENT,
      token: this.#token,
      name: cut(this.#wish.name, MAX_NAME),
      send: MEDIA,
      video_slots: this.#videoSlots,
      adapts: true,
      resume,
    };
  }

  // ---- what the server says ----

  /** @type {Record<string, (message: any) => void>} */
  #handlers = {
    welcome: (message) => this.#welcome(message),
    offer: (message) => this.#offer(message),
    joined: (message) => this.#announce(message),
    muted: (message) => this.#muted(message),
    'send-codecs': ({ media }) => this.#connection.setCodecs(media ?? []),
    'send-layers': ({ media }) => this.#connection.setNeeded(media ?? []),
    'send-rates': ({ ceilings }) => this.#connection.setCeilings(ceilings ?? []),
    transports: ({ transports }) => this.#connection.heard(transports ?? []),
    'role-changed': ({ role }) => notify(this.#store, 'info', t(role === 'host' ? 'notice.host' : 'notice.nohost')),
    failure: (message) => this.#failure(message),
    bye: ({ error }) => this.#bye(error),
  };

  /** @param {Message} message */
  #receive(message) {
    if (!this.#open) return;
    if (typeof message.state === 'number') this.#lastState = Math.max(this.#lastState, message.state);
    this.#handlers[message.type]?.(message);
    const reduce = REDUCERS[message.type];
    if (reduce) this.#store.update(reduce(this.#store.state, message));
  }

  /** @param {Message} message */
  #welcome({ session, secret, participant, role, resumed, meeting }) {
    this.#control?.settled();
    this.#rejoins = 0;
    this.#resume = { session, secret };
    if (!resumed) {
      this.#lastState = 0;
      this.#generation = -1;
      this.#answered = -1;
      this.#store.update({ drain: null }); // said again where it holds
      this.#connection.forget();
    }
    const returning = this.#store.state.screen === 'meeting';
    this.#store.update({ joining: '', online: true, me: participant, role, meeting, trouble: null, screen: 'meeting' });
    if (returning && resumed) this.#connection.resumed();
    const { mic, cam, screen } = this.#store.state.local;
    this.#control?.send('set-mute', { medium: 'audio', muted: !mic.on });
    this.#control?.send('set-mute', { medium: 'video', muted: !cam.on });
    if (screen.on) this.#control?.send('set-share', { on: true });
  }

  /** Offers are answered one after the other; one that a newer one has replaced meanwhile is left out. @param {Message} message */
  #offer(offer) {
    const { generation } = offer;
    // The same generation comes again after a resumption when its answer was lost.
    if (generation < this.#generation || generation === this.#answered) return;
    this.#generation = generation;
    this.#offers = this.#offers
      .then(() => (generation === this.#generation && this.#open ? this.#answer(offer) : undefined))
      .catch((error) => {
        console.error('offer:', error);
        notify(this.#store, 'error', new Trouble('media').sentences);
      });
  }

  /** @param {any} offer */
  async #answer(offer) {
    const sdp = await this.#connection.answer(offer);
    if (this.#control?.send('answer', { generation: offer.generation, sdp })) this.#answered = offer.generation;
  }

  /** Somebody else has taken the content slot: the own screen is no longer sent. @param {Message} message */
  #announce({ participant }) {
    const { me, participants, local } = this.#store.state;
    const before = participants.find((one) => one.id === participant.id);
    if (participant.id === me) {
      if (before?.sharing && !participant.sharing && local.screen.on) {
        this.#media.stopScreen();
        notify(this.#store, 'info', t('notice.sharetaken'));
      }
    } else if (participant.sharing && !before?.sharing) {
      notify(this.#store, 'info', t('notice.shares', { name: participant.name }));
    } else if (!before && participants.length < 20) {
      notify(this.#store, 'info', t('notice.joined', { name: participant.name }), { topic: 'joined' });
    }
  }

  /** @param {Message} message */
  #muted({ medium, muted, by }) {
    const name = this.#store.state.participants.find((one) => one.id === by)?.name ?? t('people.host');
    if (!muted) {
      const run = () => void (medium === 'video' ? this.setCamera(true) : this.setMicrophone(true));
      notify(this.#store, 'info', t(`notice.ask.${medium}`, { name }), { action: { label: t(`notice.ask.${medium}.do`), run } });
      return;
    }
    if (medium === 'audio') void this.setMicrophone(false);
    else if (medium === 'video') void this.setCamera(false);
    else this.stopSharing();
    notify(this.#store, 'info', t(`notice.muted.${medium}`, { name }));
  }

  /** @param {Message} message */
  #failure({ about, error }) {
    if (about === 'hello') {
      this.#bye(error);
      return;
    }
    if (about === 'set-share') this.#media.stopScreen();
    if (about === 'set-mute') this.#muteRefused();
    if (about === 'negotiate' || about === 'report' || about === 'set-views') console.warn(`${about}:`, error);
    else notify(this.#store, 'error', Trouble.ofServer(error, about).sentences);
  }

  /** A host keeps this person muted: what the server did not accept is off here too. */
  #muteRefused() {
    const { participants, me } = this.#store.state;
    const self = participants.find((one) => one.id === me);
    if (self && !self.audio) void this.#media.setMic(false);
    if (self && !self.video) void this.#media.setCam(false);
  }

  /** @param {import('./protocol.js').WireError} error */
  #bye(error) {
    if (REJOINABLE.has(error.code) && this.#rejoins++ < 3) {
      void this.#rejoin();
      return;
    }
    this.#finish(Trouble.ofServer(error));
  }

  /** The session or its token is worth nothing any more: a new one, with what the person typed at the start. */
  async #rejoin() {
    this.#control?.close();
    this.#resume = null;
    this.#connection.drop();
    this.#store.update({ online: false, media: 'connecting' });
    clearInterval(this.#sampling);
    try {
      await this.join();
    } catch (thrown) {
      this.#finish(Trouble.of(thrown));
    }
  }

  // ---- what the person does ----

  /** @param {boolean} on */
  async setMicrophone(on) {
    await this.#media.setMic(on);
    this.#tellTrouble(this.#store.state.local.mic);
  }

  /** @param {boolean} on */
  async setCamera(on) {
    await this.#media.setCam(on);
    this.#tellTrouble(this.#store.state.local.cam);
  }

  async startSharing() {
    try {
      if (!(await this.#media.shareScreen())) return;
      this.#control?.send('set-share', { on: true });
    } catch (thrown) {
      notify(this.#store, 'error', Trouble.of(thrown).sentences);
    }
  }

  stopSharing() {
    this.#media.stopScreen();
  }

  /** @param {import('./protocol.js').View[]} views */
  setViews(views) {
    return this.#control?.send('set-views', { views }) ?? false;
  }

  /** @param {string} text @returns {boolean} whether it went out */
  chat(text) {
    if (this.#control?.send('send-chat', { text: cut(text, MAX_CHAT) })) return true;
    notify(this.#store, 'error', new Trouble('offline').sentences);
    return false;
  }

  /** @param {string} participant @param {Medium} medium @param {boolean} muted */
  hostMute(participant, medium, muted) {
    this.#control?.send('host-mute', { participant, medium, muted });
  }

  /** @param {string} participant */
  hostRemove(participant) {
    this.#control?.send('host-remove', { participant });
  }

  /** @param {boolean} locked */
  hostLock(locked) {
    this.#control?.send('host-lock', { locked });
  }

  hostEnd() {
    this.#control?.send('host-end');
  }

  /** @param {string} key */
  claimHost(key) {
    this.#control?.send('claim-host', { key });
  }

  leave() {
    this.#control?.send('leave');
    this.#finish(null);
  }

  // ---- inside ----

  /** Sends another track or none, and says so; also when a device came or went by itself. @param {Medium} medium @param {MediaStreamTrack|null} track */
  #send(medium, track) {
    void this.#connection.setTrack(medium, track).catch((error) => console.error(`${medium}:`, error));
    if (medium !== 'content') this.#control?.send('set-mute', { medium, muted: !track });
    else if (!track) this.#control?.send('set-share', { on: false });
  }

  /** @param {import('./media.js').DeviceState} device */
  #tellTrouble(device) {
    if (device.trouble) notify(this.#store, 'error', device.trouble.sentences);
  }

  async #sample() {
    const { slots, transports } = this.#store.state;
    const sample = await this.#connection.sample(moving(slots));
    if (!this.#open || !sample) return;
    const { stats, raw, report } = sample;
    this.#connection.stands(transports, this.#controller);
    this.#store.update({ stats, skews: skews(raw, pairs(slots)), trail: trailed(this.#store.state, stats) });
    if (++this.#samples % REPORT_EVERY === 0) this.#control?.send('report', { media: report() });
  }

  /** @param {Trouble|null} trouble */
  #finish(trouble) {
    if (!this.#open) return;
    this.#open = false;
    clearInterval(this.#sampling);
    this.#unhook();
    this.#control?.close();
    this.#connection.close();
    this.playback.close();
    this.#store.update(NO_STAY);
    this.#ended(trouble);
  }
}
