// The figure that the picture is made from, drawn over it from the key points that the server sends (docs/control.md).
//
// Key points come before their picture, which is still to be encoded and decoded. Pictures have the same times as key
// points but for an offset that each connection draws by lot: the only one that fits some pictures in a row.

const SURE = 0.3;
const MOST_WAITING = 90;
const PICTURES_TO_TELL = 5;
const LEFT = "#ffb454", RIGHT = "#59c2ff", MIDDLE = "#eceae6";
// BlazePose's 33 landmarks: odd numbers are the person's left, even ones the right.
const LIMBS = [
  [11, 12, MIDDLE], [23, 24, MIDDLE],
  ...[[11, 13], [13, 15], [11, 23], [23, 25], [25, 27], [27, 31]].flatMap(([a, b]) => {
    return [[a, b, LEFT], [a + 1, b + 1, RIGHT]];
  }),
];

export class Figure {
  #canvas;
  #video;
  #waiting = [];
  #offsets = [];
  #pictures = 0;
  #asked = 0;

  /**
   * @param {HTMLCanvasElement} canvas lies over the picture
   * @param {HTMLVideoElement} video
   */
  constructor(canvas, video) {
    this.#canvas = canvas;
    this.#video = video;
  }

  get shown() {
    return !this.#canvas.hidden;
  }

  set shown(shown) {
    this.#canvas.hidden = !shown;
    this.#draw(null);
    if (shown) this.#await();
  }

  /** The connection is a new one. */
  reset() {
    this.#waiting = [];
    this.#offsets = [];
    this.#pictures = 0;
  }

  /** Take the key points of a picture that is to come: a message of docs/control.md. */
  take(figure) {
    this.#waiting.push(figure);
    if (this.#waiting.length > MOST_WAITING) this.#waiting.shift();
    if (!this.#video.requestVideoFrameCallback) this.#draw(figure.points);
  }

  #await() {
    this.#video.cancelVideoFrameCallback?.(this.#asked);  // one at a time, however often it is shown and hidden
    this.#asked = this.#video.requestVideoFrameCallback?.((_, { rtpTimestamp }) => {
      if (!this.shown) return;
      this.#drawWith(rtpTimestamp);
      this.#await();
    });
  }

  /** Draw what belongs to a picture; while that cannot be told, what came last. */
  #drawWith(time) {
    const offsets = this.#waiting.map(({ at }) => (time - at) >>> 0);
    if (this.#pictures < PICTURES_TO_TELL) this.#look(offsets);
    if (this.#pictures >= PICTURES_TO_TELL) {
      const due = offsets.findLastIndex((each) => ((each - this.#offsets[0]) | 0) >= 0);
      this.#waiting.splice(0, due);
      if (due >= 0) this.#draw(this.#waiting[0].points);
    } else if (this.#waiting.length) {
      this.#draw(this.#waiting.at(-1).points);
    }
  }

  /** Keep those offsets that fit this picture, too; if none does, begin anew. */
  #look(offsets) {
    const fitting = this.#offsets.filter((each) => offsets.includes(each));
    this.#offsets = fitting.length ? fitting : offsets;
    this.#pictures = fitting.length ? this.#pictures + 1 : 0;
    if (fitting.length > 1) this.#pictures = Math.min(this.#pictures, PICTURES_TO_TELL - 1);
  }

  /** @param {number[][] | null} points x and y by the picture's sides, and confidence; null while nobody is there */
  #draw(points) {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const context = this.#canvas.getContext("2d");
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      Object.assign(this.#canvas, { width, height });
    }
    context.clearRect(0, 0, width, height);
    if (!points) return;
    context.lineWidth = Math.max(2, height / 128);
    context.lineCap = "round";
    for (const [a, b, color] of LIMBS) {
      const [from, to] = [points[a], points[b]];
      if (Math.min(from[2], to[2]) < SURE) continue;
      context.strokeStyle = color;
      context.beginPath();
      context.moveTo(from[0] * width, from[1] * height);
      context.lineTo(to[0] * width, to[1] * height);
      context.stroke();
    }
  }
}
