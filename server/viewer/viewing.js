// The session of one who watches: both pictures, and commands back.

import { Session } from "./session.js";

export class Viewing extends Session {
  #control;

  /** @param {(stream: MediaStream, index: number) => void} onPicture called for each video the server sends. */
  constructor(onPicture) {
    let control;
    super("/whep", (connection) => {
      const transceivers = [0, 1].map(() => connection.addTransceiver("video", { direction: "recvonly" }));
      control = connection.createDataChannel("control");
      for (const { receiver } of transceivers) receiver.jitterBufferTarget = 0;
      connection.addEventListener("track", ({ track, transceiver }) => {
        onPicture(new MediaStream([track]), transceivers.indexOf(transceiver));
      });
    });
    this.#control = control;
  }

  /** Send a command, if the connection stands. */
  ask(command) {
    if (this.#control.readyState === "open") this.#control.send(command);
  }
}
