// This device's camera, published into the session by WHIP; only the one in front of it sees it mirrored.

import { Link } from "./link.js";
import { Session } from "./session.js";

const WANTED = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const TAKEN = 409;
const NOTICE_MS = 8000;

export class Camera {
  #stream = null;
  #link = null;
  #query = "";
  #asked = false;
  #asking = false;
  #begins = false;

  #notice = "";
  #timer = 0;

  /**
   * @param {HTMLButtonElement} button
   * @param {(stream: MediaStream | null) => void} onStream the camera's own picture while it is used
   * @param {() => void} onNotice there is another `notice`
   * @param {() => void} onLive the server has its pictures, for the first time since the button was pressed
   */
  constructor(button, onStream, onNotice, onLive) {
    this.button = button;
    this.onStream = onStream;
    this.onNotice = onNotice;
    this.onLive = onLive;
    button.addEventListener("click", () => this.toggle());
  }

  /** What is to be told, for a while; empty if nothing is. */
  get notice() {
    return this.#notice;
  }

  /** Whether another camera asks for the place of this one. */
  set asked(asked) {
    if (asked && !this.#asked && this.#stream) {
      this.#tell("Another camera asks to take over. Press “Use this camera” again to let it.");
    }
    this.#asked = asked;
  }

  async toggle() {
    if (this.#asking) return;
    if (this.#stream) return this.stop();
    this.#asking = true;
    this.#tell("");
    try {
      this.#start(await this.#open());
    } catch (problem) {
      this.#tell(this.#why(problem));
    } finally {
      this.#asking = false;
    }
  }

  /** Let go of the camera, and tell why. */
  stop(notice = "") {
    this.#link?.stop();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = this.#link = null;
    this.#tell(notice);
    this.button.setAttribute("aria-pressed", "false");
    this.onStream(null);
  }

  #open() {
    if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
    return navigator.mediaDevices.getUserMedia({ video: WANTED });
  }

  #start(stream) {
    const [track] = stream.getVideoTracks();
    track.contentHint = "motion";
    track.addEventListener("ended", () => this.stop("The camera is gone."));
    this.#stream = stream;
    this.#query ||= "?ask";
    this.#begins = true;
    this.button.setAttribute("aria-pressed", "true");
    this.onStream(stream);
    this.#link = new Link(() => this.#publish(track), (...state) => this.#show(...state));
    this.#link.run();
  }

  #publish(track) {
    const path = `/whip${this.#query}`;
    this.#query = "";  // once: two that take over from each other by themselves would never stop
    return new Session(path, (connection) => connection.addTransceiver(track, { direction: "sendonly" }));
  }

  #show(state, sentence, status) {
    if (status === TAKEN) {
      this.#query = "?takeover";
      this.stop("Another camera is in use. Press again to take over.");
    } else if (state === "refused") {
      this.stop(sentence);
    } else {
      this.#tell(state === "waiting" ? sentence : "");
      if (state === "live" && this.#begins) {
        this.#begins = false;  // whoever chooses another source later is not overruled by a connection that comes back
        this.onLive();
      }
    }
  }

  #tell(notice) {
    this.#notice = notice;
    clearTimeout(this.#timer);
    if (notice) this.#timer = setTimeout(() => this.#tell(""), NOTICE_MS);
    this.onNotice();
  }

  #why(problem) {
    if (problem.name === "NotAllowedError") return "The browser may not use the camera: allow it in the address bar.";
    if (problem.name === "NotFoundError") return "This device has no camera.";
    if (problem.name === "SecurityError") return "Browsers give their camera to https pages only: start the server with --tls.";
    return "The camera cannot be opened: close other programs that use it.";
  }
}
