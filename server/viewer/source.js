// The small picture of what the camera sees: shown, hidden, and moved from corner to corner.

const CORNERS = ["top left", "top right", "bottom right", "bottom left"];

export class Source {
  #name = "";
  #wanted = true;
  #arrived = false;

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

  toggle() {
    this.#wanted = !this.#wanted;
    this.#show();
  }

  move() {
    this.box.dataset.corner = (Number(this.box.dataset.corner) + 1) % CORNERS.length;
    this.#show();
  }

  #show() {
    const there = this.#arrived && this.#name !== "";
    this.box.hidden = !(there && this.#wanted);
    this.button.hidden = !there;
    this.button.setAttribute("aria-pressed", String(this.#wanted));
    this.label.textContent = this.#name;
    const corner = CORNERS[Number(this.box.dataset.corner)];
    this.box.setAttribute("aria-label", `${this.#name}, the source picture, ${corner}. Press to move it.`);
  }
}
