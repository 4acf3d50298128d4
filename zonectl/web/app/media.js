/** Camera, microphone and screen of this person. What is on or off, and why not, is in the store under "local". */

import { captureTrouble, Trouble } from './errors.js';
import { pref, setPref } from './prefs.js';

/** @typedef {{on: boolean, busy: boolean, trouble: Trouble|null}} DeviceState */
/** @typedef {{id: string, label: string}} Device */
/** @typedef {{audioinput: Device[], videoinput: Device[], audiooutput: Device[]}} Devices */
/** @typedef {{audioinput: string, videoinput: string, audiooutput: string}} Choice */
/** @typedef {{mic: DeviceState, cam: DeviceState, screen: DeviceState, devices: Devices, choice: Choice}} Local */
/** @typedef {import('./protocol.js').Medium} Medium */

const OFF = { on: false, busy: false, trouble: null };

/** @returns {Local} */
export function initialLocal() {
  return {
    mic: OFF,
    cam: OFF,
    screen: OFF,
    devices: { audioinput: [], videoinput: [], audiooutput: [] },
    choice: pref('devices', { audioinput: '', videoinput: '', audiooutput: '' }),
  };
}

/** Whether this browser can share a screen at all; telephones cannot. */
export function canShare() {
  return Boolean(navigator.mediaDevices?.getDisplayMedia);
}

export class LocalMedia {
  #store;
  /** @type {Record<Medium, MediaStreamTrack|null>} */
  #tracks = { audio: null, video: null, content: null };
  /** @type {Set<(medium: Medium, track: MediaStreamTrack|null) => void>} */
  #listeners = new Set();
  /** Requests for devices go one after the other, so that a quick double click ends as asked. */
  #queue = Promise.resolve();

  /** @param {import('./store.js').Store<any>} store */
  constructor(store) {
    this.#store = store;
    navigator.mediaDevices?.addEventListener?.('devicechange', () => void this.refreshDevices());
  }

  /** What should be sent of a medium at present: null while it is off or muted. @param {Medium} medium */
  sent(medium) {
    if (medium === 'audio' && !this.#local.mic.on) return null;
    return this.#tracks[medium];
  }

  /** The track itself, for previews and meters. @param {Medium} medium */
  track(medium) {
    return this.#tracks[medium];
  }

  /** @param {(medium: Medium, track: MediaStreamTrack|null) => void} fn called when what should be sent is another track */
  onTrack(fn) {
    this.#listeners.add(fn);
    return () => void this.#listeners.delete(fn);
  }

  /** Opens what the person had on last time; one question of the browser for both devices where it can be. */
  async open() {
    const camera = pref('camera', true);
    const microphone = pref('microphone', true);
    if (camera && microphone && this.#supported()) {
      this.#set('mic', { busy: true });
      this.#set('cam', { busy: true });
      try {
        const stream = await navigator.mediaDevices.getUserMedia({ audio: this.#audioWish(), video: this.#videoWish() });
        this.#adopt('audio', stream.getAudioTracks()[0]);
        this.#adopt('video', stream.getVideoTracks()[0]);
        this.#set('mic', { on: true, busy: false, trouble: null });
        this.#set('cam', { on: true, busy: false, trouble: null });
        this.#tell('audio');
        this.#tell('video');
        await this.refreshDevices();
        return;
      } catch {
        // One of the two is missing or refused: asked separately below, each says for itself what is wrong.
      }
    }
    if (microphone) await this.setMic(true);
    if (camera) await this.setCam(true);
    await this.refreshDevices();
  }

  /** @param {boolean} on */
  setMic(on) {
    return this.#inTurn(async () => {
      if (on && !this.#tracks.audio) await this.#capture('mic', 'audio');
      else this.#set('mic', { on: on && this.#tracks.audio !== null });
      if (this.#tracks.audio) this.#tracks.audio.enabled = this.#local.mic.on;
      setPref('microphone', on);
      this.#tell('audio');
    });
  }

  /** Off stops the device, so that the camera's light goes out. @param {boolean} on */
  setCam(on) {
    return this.#inTurn(async () => {
      if (on && !this.#tracks.video) await this.#capture('cam', 'video');
      else if (!on) {
        this.#stop('video');
        this.#set('cam', { on: false });
      }
      setPref('camera', on);
      this.#tell('video');
    });
  }

  /** Asks which screen to share. Must be called in the handler of a click or key. */
  async shareScreen() {
    if (!canShare()) throw new Trouble('screen-unsupported');
    let stream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15, max: 30 } }, audio: false });
    } catch (thrown) {
      // Closing the browser's own dialog is a decision, not an error.
      if (thrown instanceof DOMException && thrown.name === 'NotAllowedError' && !/system/i.test(thrown.message)) return false;
      throw captureTrouble(thrown, 'screen');
    }
    const track = stream.getVideoTracks()[0];
    track.contentHint = 'detail';
    this.#adopt('content', track);
    this.#set('screen', { on: true });
    this.#tell('content');
    return true;
  }

  stopScreen() {
    if (!this.#tracks.content) return;
    this.#stop('content');
    this.#set('screen', { on: false });
    this.#tell('content');
  }

  /** @param {'audioinput'|'videoinput'|'audiooutput'} kind @param {string} id */
  async choose(kind, id) {
    this.#patch({ choice: { ...this.#local.choice, [kind]: id } });
    setPref('devices', this.#local.choice);
    if (kind === 'audioinput' && this.#tracks.audio) {
      const on = this.#local.mic.on;
      this.#stop('audio');
      await this.setMic(true);
      if (!on) await this.setMic(false);
    }
    if (kind === 'videoinput' && this.#tracks.video) {
      this.#stop('video');
      await this.setCam(true);
    }
  }

  async refreshDevices() {
    if (!navigator.mediaDevices?.enumerateDevices) return;
    /** @type {Devices} */
    const devices = { audioinput: [], videoinput: [], audiooutput: [] };
    for (const { kind, deviceId, label } of await navigator.mediaDevices.enumerateDevices()) {
      if (deviceId) devices[kind].push({ id: deviceId, label });
    }
    this.#patch({ devices });
  }

  /** Stops every device. */
  close() {
    for (const medium of /** @type {Medium[]} */ (['audio', 'video', 'content'])) this.#stop(medium);
    this.#patch({ mic: OFF, cam: OFF, screen: OFF });
  }

  /** @returns {Local} */
  get #local() {
    return this.#store.state.local;
  }

  /** @param {'mic'|'cam'} device @param {'audio'|'video'} medium */
  async #capture(device, medium) {
    if (!this.#supported()) {
      this.#set(device, { on: false, trouble: new Trouble('insecure') });
      return;
    }
    this.#set(device, { busy: true });
    try {
      const wish = medium === 'audio' ? { audio: this.#audioWish() } : { video: this.#videoWish() };
      const stream = await navigator.mediaDevices.getUserMedia(wish);
      this.#adopt(medium, stream.getTracks()[0]);
      this.#set(device, { on: true, busy: false, trouble: null });
      void this.refreshDevices();
    } catch (thrown) {
      this.#set(device, { on: false, busy: false, trouble: captureTrouble(thrown, medium === 'audio' ? 'microphone' : 'camera') });
    }
  }

  /** @param {Medium} medium @param {MediaStreamTrack} track */
  #adopt(medium, track) {
    this.#stop(medium);
    this.#tracks[medium] = track;
    track.addEventListener('ended', () => this.#ended(medium, track));
  }

  /** The device was unplugged, or sharing ended in the browser's own bar. @param {Medium} medium @param {MediaStreamTrack} track */
  #ended(medium, track) {
    if (this.#tracks[medium] !== track) return;
    this.#tracks[medium] = null;
    if (medium === 'content') this.#set('screen', { on: false });
    else if (medium === 'audio') this.#set('mic', { on: false, trouble: new Trouble('microphone-gone') });
    else this.#set('cam', { on: false, trouble: new Trouble('camera-gone') });
    this.#tell(medium);
  }

  /** @param {Medium} medium */
  #stop(medium) {
    const track = this.#tracks[medium];
    this.#tracks[medium] = null;
    track?.stop();
  }

  #supported() {
    return Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia);
  }

  #audioWish() {
    const id = this.#local.choice.audioinput;
    return { deviceId: id ? { ideal: id } : undefined, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  }

  #videoWish() {
    const id = this.#local.choice.videoinput;
    return { deviceId: id ? { ideal: id } : undefined, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30, max: 30 } };
  }

  /** @param {Medium} medium */
  #tell(medium) {
    for (const listener of this.#listeners) listener(medium, this.sent(medium));
  }

  /** @param {'mic'|'cam'|'screen'} device @param {Partial<DeviceState>} patch */
  #set(device, patch) {
    this.#patch({ [device]: { ...this.#local[device], ...patch } });
  }

  /** @param {Partial<Local>} patch */
  #patch(patch) {
    this.#store.update({ local: { ...this.#local, ...patch } });
  }

  /** @param {() => Promise<void>} work */
  #inTurn(work) {
    this.#queue = this.#queue.then(work, work);
    return this.#queue;
  }
}

/**
 * Measures how loud a track is.
 * @param {MediaStreamTrack} track
 * @param {(level: number) => void} onLevel 0 to 1, some times a second
 * @returns {() => void} stops
 */
export function meter(track, onLevel) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  const source = context.createMediaStreamSource(new MediaStream([track]));
  source.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    const decibels = 10 * Math.log10(power + 1e-10);
    onLevel(Math.min(1, Math.max(0, (decibels + 60) / 50)));
  }, 100);
  return () => {
    clearInterval(timer);
    source.disconnect();
    void context.close();
  };
}
