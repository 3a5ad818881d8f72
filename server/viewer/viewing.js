// The session of one who watches: both pictures, their sound if it is wanted, and commands back.

import { Session } from "./session.js";

export class Viewing extends Session {
  #connection;
  #control;
  #figure = null;
  #asked = 0;
  #waiting = new Map();

  /**
   * @param {(stream: MediaStream, index: number) => void} onPicture called for each video the server sends
   * @param {((track: MediaStreamTrack) => void) | null} onSound called with what is heard with the first; without it
   *   the server is not asked for sound, for which pictures would have to wait
   */
  constructor(onPicture, onSound) {
    let control, made;
    super("/whep", (connection) => {
      made = connection;
      const transceivers = [0, 1].map(() => connection.addTransceiver("video", { direction: "recvonly" }));
      control = connection.createDataChannel("control");
      if (onSound) transceivers.push(connection.addTransceiver("audio", { direction: "recvonly" }));
      for (const { receiver } of transceivers) receiver.jitterBufferTarget = 0;
      connection.addEventListener("track", ({ track, transceiver }) => {
        if (track.kind === "audio") onSound(track);
        else onPicture(new MediaStream([track]), transceivers.indexOf(transceiver));
      });
    });
    this.#connection = made;
    this.#control = control;
    control.addEventListener("message", ({ data }) => this.#hear(JSON.parse(data)));
  }

  /** Send a command (docs/control.md), if the connection stands; resolves to the reply, or to null. */
  ask(command, value = null) {
    if (this.#control.readyState !== "open") return Promise.resolve(null);
    const id = this.#asked += 1;
    const reply = new Promise((resolve) => { this.#waiting.set(id, resolve); });
    this.#control.send(JSON.stringify({ id, command, value }));
    return Promise.race([reply, this.ended.then(() => null)]);
  }

  /** Let key points come, or no more: `onFigure` is called with every message (docs/control.md). */
  watchFigure(onFigure) {
    this.#figure?.close();
    this.#figure = null;
    if (!onFigure) return;
    // Old figures are of no use: what is lost stays lost.
    this.#figure = this.#connection.createDataChannel("figure", { ordered: false, maxRetransmits: 0 });
    this.#figure.addEventListener("message", ({ data }) => onFigure(JSON.parse(data)));
  }

  #hear(reply) {
    this.#waiting.get(reply.id)?.(reply);
    this.#waiting.delete(reply.id);
  }
}
