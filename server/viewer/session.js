// One session of WHEP (draft-ietf-wish-whep) or WHIP (RFC 9725): offer, answer, and how it ended.

import { request } from "./token.js";

const CONNECT_MS = 10_000;
const BLOCKED_MS = 5_000;
const DISCONNECTED_MS = 3_000;
const ICE_SERVER = /<([^>]+)>; rel="ice-server"(?:; username="([^"]+)"; credential="([^"]+)")?/g;

/** A refusal or failure whose message may be shown as it is. */
export class SessionError extends Error {
  constructor(message, { status = 0, blocked = false } = {}) {
    super(message);
    this.status = status;
    this.blocked = blocked;  // the server answers, but WebRTC does not get through
  }
}

export class Session {
  #path;
  #url = null;
  #closed = false;
  #connection = new RTCPeerConnection();
  #timer = 0;
  #late = false;

  /**
   * @param {string} path the endpoint's
   * @param {(connection: RTCPeerConnection) => void} prepare adds what is sent and received
   */
  constructor(path, prepare) {
    this.#path = path;
    this.ended = new Promise((resolve) => { this.end = resolve; });
    this.connected = new Promise((resolve) => { this.#settle = resolve; });
    prepare(this.#connection);
    this.#connection.addEventListener("connectionstatechange", () => this.#note());
  }

  #settle;

  /** Connect; rejects with a SessionError, or a TypeError when the server cannot be reached. */
  async open() {
    await this.#useIceServers();
    // Posted without waiting for candidates: the server hears ours from the first connectivity check.
    await this.#connection.setLocalDescription();
    const response = await request(this.#path, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: this.#connection.localDescription.sdp,
      signal: AbortSignal.timeout(CONNECT_MS),
    });
    const text = await response.text();
    if (response.status !== 201) throw new SessionError(text, { status: response.status });
    this.#url = response.headers.get("Location");
    if (this.#closed) return this.#leave();
    if (!/^a=candidate:/m.test(text)) {  // WebRTC leaves out the machine's own address, and there is no other
      throw new SessionError("The machine that plays has no network, without which there is no picture: connect it to one.", { blocked: true });
    }
    await this.#connection.setRemoteDescription({ type: "answer", sdp: text });
    this.#hearGoodbye();
    this.#timer = setTimeout(() => this.#giveUp(), BLOCKED_MS);
    await Promise.race([this.connected, this.ended]);
    clearTimeout(this.#timer);
    if (this.#connection.connectionState !== "connected") {  // somebody may have ended it, too: then nothing is wrong with the way
      throw new SessionError("The picture cannot get through.", { blocked: this.#late });
    }
  }

  stats() {
    return this.#connection.getStats();
  }

  /** Leave, and tell the server, even while the page is being closed. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#connection.close();
    this.#leave();
    this.end();
  }

  async #useIceServers() {
    const response = await request(this.#path, { method: "OPTIONS", signal: AbortSignal.timeout(CONNECT_MS) });
    const links = response.headers.get("Link") ?? "";
    const iceServers = [...links.matchAll(ICE_SERVER)].map(([, urls, username, credential]) => {
      return { urls, username, credential };
    });
    if (iceServers.length && !this.#closed) this.#connection.setConfiguration({ iceServers });
  }

  /** The server's own end of the session: the connection itself tells it only once nothing has come for long. */
  #hearGoodbye() {
    const transports = new Set(this.#connection.getReceivers().map(({ transport }) => transport));
    for (const transport of transports) {
      transport?.addEventListener("statechange", () => { if (transport.state === "closed") this.end(); });
    }
  }

  #leave() {
    if (this.#url) request(this.#url, { method: "DELETE", keepalive: true }).catch(() => { /* it has gone already */ });
  }

  #giveUp() {
    this.#late = true;
    this.end();
  }

  #note() {
    const state = this.#connection.connectionState;
    clearTimeout(this.#timer);
    if (state === "connected") this.#settle();
    else if (state === "disconnected") this.#timer = setTimeout(() => this.end(), DISCONNECTED_MS);
    else if (state === "failed") this.#giveUp();
    else if (state === "closed") this.end();
    else this.#timer = setTimeout(() => this.#giveUp(), BLOCKED_MS);
  }
}
