// The small picture of who moves: shown, hidden, and moved from corner to corner.
// While this device's own camera is used that is its own picture, mirrored.

const CORNERS = ["top left", "top right", "bottom right", "bottom left"];

export class Source {
  #name = "";
  #wanted = true;
  #arrived = false;
  #sent = null;
  #own = null;

  constructor(box, video, label, button) {
    this.box = box;
    this.video = video;
    this.label = label;
    this.button = button;
    box.addEventListener("click", () => this.move());
    button.addEventListener("click", () => this.toggle());
    video.addEventListener("loadeddata", () => {
      this.#arrived = true;
      this.#show();
    });
    video.addEventListener("resize", () => {
      box.style.setProperty("--aspect", video.videoWidth / video.videoHeight);
    });
  }

  /** The stream's name; empty where the server sends no second picture. */
  set name(name) {
    this.#name = name;
    this.#show();
  }

  /** The picture that the server sends. */
  set sent(stream) {
    this.#sent = stream;
    this.#play();
  }

  /** This device's camera, if it is used. */
  set own(stream) {
    this.#own = stream;
    this.#play();
  }

  toggle() {
    this.#wanted = !this.#wanted;
    this.#show();
  }

  move() {
    this.box.dataset.corner = (Number(this.box.dataset.corner) + 1) % CORNERS.length;
    this.#show();
  }

  #play() {
    this.video.srcObject = this.#own ?? this.#sent;
    this.video.play().catch(() => { /* asked by the large picture */ });
    this.box.classList.toggle("own", this.#own !== null);
    this.#show();
  }

  #show() {
    const name = this.#own ? "your camera, mirrored" : this.#name;
    const there = this.#arrived && name !== "";
    this.box.hidden = !(there && this.#wanted);
    this.button.hidden = !there;
    this.button.setAttribute("aria-pressed", String(this.#wanted));
    this.label.textContent = name;
    const corner = CORNERS[Number(this.box.dataset.corner)];
    this.box.setAttribute("aria-label", `${name}, the source picture, ${corner}. Press to move it.`);
  }
}
