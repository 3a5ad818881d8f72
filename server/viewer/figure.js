// The figure that the picture is made from, drawn over it from the key points that the server sends (docs/control.md).

const SURE = 0.3;
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
    this.draw(null);
  }

  /** @param {number[][] | null} points x and y by the picture's sides, and confidence; null while nobody is there */
  draw(points) {
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
