// One WHEP session (draft-ietf-wish-whep): offer, answer, and how it ended.

const CONNECT_MS = 10_000;
const DISCONNECTED_MS = 3_000;

/** A refusal or failure whose message may be shown as it is. */
export class SessionError extends Error {}

export class Session {
  #url = null;
  #closed = false;
  #connection = new RTCPeerConnection();
  #control;
  #timer = 0;

  /** @param {(stream: MediaStream, index: number) => void} onPicture called for each video the server sends. */
  constructor(onPicture) {
    this.ended = new Promise((resolve) => { this.end = resolve; });
    this.connected = new Promise((resolve) => { this.#settle = resolve; });
    const transceivers = [0, 1].map(() => this.#connection.addTransceiver("video", { direction: "recvonly" }));
    this.#control = this.#connection.createDataChannel("control");
    for (const { receiver } of transceivers) receiver.jitterBufferTarget = 0;
    this.#connection.addEventListener("track", ({ track, transceiver }) => {
      onPicture(new MediaStream([track]), transceivers.indexOf(transceiver));
    });
    this.#connection.addEventListener("connectionstatechange", () => this.#note());
  }

  #settle;

  /** Connect; rejects with a SessionError, or a TypeError when the server cannot be reached. */
  async open() {
    // Posted without waiting for candidates: the server hears ours from the first connectivity check.
    await this.#connection.setLocalDescription();
    const response = await fetch("/whep", {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: this.#connection.localDescription.sdp,
      signal: AbortSignal.timeout(CONNECT_MS),
    });
    const text = await response.text();
    if (response.status !== 201) throw new SessionError(text);
    this.#url = response.headers.get("Location");
    if (this.#closed) return this.#leave();
    await this.#connection.setRemoteDescription({ type: "answer", sdp: text });
    this.#timer = setTimeout(() => this.end(), CONNECT_MS);
    await Promise.race([this.connected, this.ended]);
    clearTimeout(this.#timer);
    if (this.#connection.connectionState !== "connected") throw new SessionError("The picture cannot get through.");
  }

  /** Send a command, if the connection stands. */
  ask(command) {
    if (this.#control.readyState === "open") this.#control.send(command);
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

  #leave() {
    if (this.#url) fetch(this.#url, { method: "DELETE", keepalive: true }).catch(() => { /* it has gone already */ });
  }

  #note() {
    const state = this.#connection.connectionState;
    clearTimeout(this.#timer);
    if (state === "connected") this.#settle();
    else if (state === "disconnected") this.#timer = setTimeout(() => this.end(), DISCONNECTED_MS);
    else if (state === "failed" || state === "closed") this.end();
    else this.#timer = setTimeout(() => this.end(), CONNECT_MS);
  }
}
