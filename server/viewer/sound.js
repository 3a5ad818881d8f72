// The sound of the picture: off until somebody asks for it, as browsers demand.

export class Sound {
  #button;
  #onChange;
  #video;
  on = false;

  /**
   * @param {HTMLVideoElement} video plays it, too
   * @param {HTMLButtonElement} button
   * @param {() => void} onChange it was switched on or off: another session is needed
   */
  constructor(video, button, onChange) {
    this.#video = video;
    this.#button = button;
    this.#onChange = onChange;
    button.addEventListener("click", () => this.toggle());
  }

  /** Whether there is any to be heard. */
  set offered(yes) {
    this.#button.hidden = !(yes || this.on);
  }

  /** Switch it on or off. */
  toggle() {
    this.on = !this.on;
    this.#video.muted = !this.on;
    this.#button.setAttribute("aria-pressed", String(this.on));
    this.#onChange();
  }

  /** It has come, after the picture. */
  play(track) {
    this.#video.srcObject?.addTrack(track);
  }
}
