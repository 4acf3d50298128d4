/** An element for each receive slot: audio elements play by themselves, video elements wait to be shown by the tile of whoever is in the slot. */

/** @typedef {import('./protocol.js').Medium} Medium */

export class Playback {
  #host;
  #onBlocked;
  #onVideos;
  /** @type {Map<string, HTMLMediaElement>} */
  #elements = new Map();
  /** @type {Map<string, RTCRtpReceiver>} */
  #receivers = new Map();
  #sink = '';

  /**
   * @param {HTMLElement} host where audio elements live, out of sight
   * @param {(blocked: boolean) => void} onBlocked the browser wants a click before it plays sound
   * @param {() => void} onVideos the video elements are other ones now
   */
  constructor(host, onBlocked, onVideos) {
    this.#host = host;
    this.#onBlocked = onBlocked;
    this.#onVideos = onVideos;
  }

  /**
   * Takes the slots of a (new) connection. A video slot gets a new element then: the old one keeps its last picture until its tile has the new one.
   * @param {Map<string, RTCRtpReceiver>} receivers by mid
   */
  setSlots(receivers) {
    for (const [mid, receiver] of receivers) {
      if (this.#receivers.get(mid) === receiver) continue;
      const stream = new MediaStream([receiver.track]);
      if (receiver.track.kind === 'audio') this.#playAudio(mid, stream);
      else this.#elements.set(mid, videoElement(stream));
    }
    this.#receivers = receivers;
    this.#onVideos();
  }

  /** How many pictures the box offers to send, null before its first offer. */
  get videoSlots() {
    return this.#receivers.size > 0 ? [...this.#receivers.keys()].filter((mid) => mid.startsWith('video')).length : null;
  }

  /** @param {string} mid @returns {HTMLVideoElement|null} */
  video(mid) {
    const element = this.#elements.get(mid);
    return element instanceof HTMLVideoElement ? element : null;
  }

  /** Plays what was blocked; call it in the handler of a click. */
  async unblock() {
    await Promise.all([...this.#elements.values()].map((element) => this.#play(element)));
  }

  /** Plays sound through another device. @param {string} id "" is the system's choice */
  async setSink(id) {
    this.#sink = id;
    for (const element of this.#elements.values()) {
      if (element instanceof HTMLAudioElement) await setSink(element, id);
    }
  }

  close() {
    for (const element of this.#elements.values()) {
      element.srcObject = null;
      element.remove();
    }
    this.#elements.clear();
    this.#receivers = new Map();
  }

  /** @param {string} mid @param {MediaStream} stream */
  #playAudio(mid, stream) {
    let audio = this.#elements.get(mid);
    if (!audio) {
      audio = document.createElement('audio');
      audio.dataset.mid = mid;
      this.#elements.set(mid, audio);
      this.#host.append(audio);
      if (this.#sink) void setSink(/** @type {HTMLAudioElement} */ (audio), this.#sink);
    }
    audio.srcObject = stream;
    void this.#play(audio);
  }

  /** @param {HTMLMediaElement} element */
  async #play(element) {
    try {
      await element.play();
      if (element instanceof HTMLAudioElement) this.#onBlocked(false);
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotAllowedError' && element instanceof HTMLAudioElement) this.#onBlocked(true);
    }
  }
}

/** @param {MediaStream} stream */
function videoElement(stream) {
  const video = document.createElement('video');
  video.muted = true;
  video.autoplay = true;
  video.playsInline = true;
  video.disablePictureInPicture = true;
  video.tabIndex = -1;
  video.srcObject = stream;
  return video;
}

/** @param {HTMLMediaElement} element @param {string} id */
async function setSink(element, id) {
  try {
    if ('setSinkId' in element) await element.setSinkId(id);
  } catch (error) {
    console.info('output device:', error);
  }
}
