/** The control channel: a WebSocket that is opened again, with back-off, whenever it is lost. What is in the messages is session.js's concern. */

import { decode, encode, SUBPROTOCOL } from './protocol.js';

const PING_MS = 10000;
const BEAT_MS = 500;
const SILENCE_MS = 25000;
const OPEN_MS = 10000;
/** The first attempts are given up early: a network that is down may return at any moment, and what was sent before is only tried again much later. */
const FIRST_OPEN_MS = 1500;
const PROOF_MS = 1500;
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8000;
const EAGER_ATTEMPTS = 20;
const EAGER_WAIT_MS = 1000;

/**
 * @typedef {object} ControlEvents
 * @property {() => object} hello the fields of Hello; called for every connection
 * @property {(message: import('./protocol.js').Message) => void} message
 * @property {() => void} lost the connection is gone; another attempt follows by itself
 */

export class Control {
  #url;
  #events;
  /** @type {WebSocket|null} */
  #socket = null;
  #closed = false;
  #attempts = 0;
  #heard = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #retry;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #pulse;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #doubts;
  #online = () => {
    if (this.#socket?.readyState === WebSocket.CONNECTING) this.#drop();
    this.#connectNow();
  };

  /**
   * @param {string} url
   * @param {ControlEvents} events
   */
  constructor(url, events) {
    this.#url = url;
    this.#events = events;
    addEventListener('online', this.#online);
    this.#connect();
  }

  /**
   * Sends a message, or drops it when there is no connection: the welcome after a resumption makes up for it.
   * @param {string} type
   * @param {object} [fields]
   * @returns {boolean} whether it was sent
   */
  send(type, fields) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(encode(type, fields));
    return true;
  }

  /** The server accepted Hello: the next loss starts with short waits again. */
  settled() {
    this.#attempts = 0;
  }

  /** Media are silent: the connection has to prove that it is alive, or is given up for another one. */
  doubt() {
    const socket = this.#socket;
    const asked = Date.now();
    this.send('ping', { sent: asked });
    clearTimeout(this.#doubts);
    this.#doubts = setTimeout(() => {
      if (socket && socket === this.#socket && this.#heard < asked) this.#drop();
    }, PROOF_MS);
  }

  /** Gives the present connection up and opens another one. */
  reopen() {
    this.#drop();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#doubts);
    clearInterval(this.#pulse);
    removeEventListener('online', this.#online);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #connect() {
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    this.#heard = Date.now();
    clearInterval(this.#pulse);
    this.#pulse = setInterval(() => this.#beat(socket), BEAT_MS);
    socket.onopen = () => {
      if (socket === this.#socket) this.send('hello', this.#events.hello());
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#drop();
    };
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heard = Date.now();
    let message;
    try {
      message = decode(String(data));
    } catch (error) {
      console.error('control channel:', error);
      return;
    }
    if (message && message.type !== 'pong') this.#events.message(message);
  }

  #lastPing = 0;

  /** @param {WebSocket} socket */
  #beat(socket) {
    const silent = Date.now() - this.#heard;
    if (socket.readyState === WebSocket.CONNECTING ? silent > this.#patience : silent > SILENCE_MS) {
      this.#drop();
    } else if (Date.now() - this.#lastPing >= PING_MS) {
      this.#lastPing = Date.now();
      this.send('ping', { sent: this.#lastPing });
    }
  }

  /** How long an attempt may take. */
  get #patience() {
    return Math.min(OPEN_MS, FIRST_OPEN_MS * 1.3 ** this.#attempts);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    clearInterval(this.#pulse);
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    if (this.#closed) return;
    const longest = this.#attempts < EAGER_ATTEMPTS ? EAGER_WAIT_MS : LONGEST_WAIT_MS;
    const wait = Math.min(longest, FIRST_WAIT_MS * 2 ** this.#attempts++) * (0.75 + Math.random() / 2);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connectNow(), wait);
    this.#events.lost();
  }

  #connectNow() {
    if (this.#closed || this.#socket) return;
    clearTimeout(this.#retry);
    this.#connect();
  }
}
