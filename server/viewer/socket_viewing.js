// The session of one whom WebRTC does not reach: the same pictures over the HTTP port, decoded by WebCodecs.

import { SessionError } from "./session.js";
import { openSocket, request } from "./token.js";

const CODECS = { VP8: "vp8", H264: "avc1.42e01f" };
const HEADER_BYTES = 10;

/** Where one stream is decoded and drawn. */
class Screen {
  #canvas = document.createElement("canvas");
  #decoder;

  /**
   * @param {string} codec WebCodecs' name
   * @param {(stream: MediaStream) => void} onBegin there is a first picture
   * @param {() => void} onPicture there is another
   * @param {() => void} onError nothing more can be decoded
   */
  constructor(codec, onBegin, onPicture, onError) {
    const context = this.#canvas.getContext("2d");
    const output = (frame) => {
      const { displayWidth: width, displayHeight: height } = frame;
      if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
      context.drawImage(frame, 0, 0);
      frame.close();
      if (!this.stream) onBegin(this.stream = this.#canvas.captureStream());
      onPicture();
    };
    this.#decoder = new VideoDecoder({ output, error: onError });
    this.#decoder.configure({ codec, optimizeForLatency: true });
  }

  decode(chunk) {
    if (this.#decoder.state === "configured") this.#decoder.decode(chunk);
  }

  close() {
    if (this.#decoder.state !== "closed") this.#decoder.close();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
  }
}

export class SocketViewing {
  #closed = false;
  #onPicture;
  #screens = [];
  #socket = null;

  /** @param {(stream: MediaStream, index: number) => void} onPicture called for each video the server sends. */
  constructor(onPicture) {
    this.#onPicture = onPicture;
    this.ended = new Promise((resolve) => { this.end = resolve; });
  }

  /** Whether this browser can do that; on pages that are neither https nor of this machine none can. */
  static get possible() {
    return "VideoDecoder" in window && "captureStream" in HTMLCanvasElement.prototype;
  }

  /** Connect; rejects with a SessionError, or a TypeError when the server cannot be reached or refuses. */
  async open() {
    if (!SocketViewing.possible) {
      throw new SessionError("Without WebRTC this browser plays on https pages only: start the server with --tls.");
    }
    const [name, codec] = await this.#choose();
    const response = await request("/stats");  // browsers do not tell why a socket is refused
    if (!response.ok) throw new SessionError(await response.text(), { status: response.status });
    const socket = this.#socket = openSocket(`/watch?codec=${name}`);
    socket.binaryType = "arraybuffer";
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("close", () => reject(new TypeError("it does not answer")));
    });
    socket.addEventListener("close", () => this.end());
    socket.addEventListener("message", ({ data }) => this.#take(data, codec));
    if (this.#closed) socket.close();
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket?.close();
    for (const screen of this.#screens) screen?.close();
    this.end();
  }

  /** Send a command (docs/control.md); resolves to the reply, or to null. */
  async ask(command, value = null) {
    const body = JSON.stringify({ command, value });
    try {
      return await (await request("/control", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
    } catch {
      return null;
    }
  }

  /** Key points do not come this way. */
  watchFigure() {}

  stats() {
    return new Map();
  }

  async #choose() {
    for (const [name, codec] of Object.entries(CODECS)) {
      if ((await VideoDecoder.isConfigSupported({ codec })).supported) return [name, codec];
    }
    throw new SessionError("This browser decodes neither VP8 nor H264.");
  }

  #take(data, codec) {
    if (this.#closed) return;
    const head = new DataView(data);
    const index = head.getUint8(0);
    this.#screens[index] ??= new Screen(
      codec,
      (stream) => this.#onPicture(stream, index),
      () => { if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(String(index)); },
      () => this.end(),
    );
    this.#screens[index].decode(new EncodedVideoChunk({
      type: head.getUint8(1) ? "key" : "delta",
      timestamp: Number(head.getBigInt64(2)),
      data: new Uint8Array(data, HEADER_BYTES),
    }));
  }
}
