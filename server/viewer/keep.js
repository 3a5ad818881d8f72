// What a viewer keeps of the picture, in the browser alone: single pictures, and recordings.

const TYPES = ["video/mp4;codecs=avc1", "video/webm;codecs=vp9", "video/webm"];
const CHUNK_MS = 1000;

/** Save the present picture as a PNG. */
export async function keepPicture(video, title) {
  if (!video.videoWidth) return;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const png = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
  save(png, `${title}_${now()}.png`);
}

export class Recording {
  #recorder = null;

  /** @param {(recording: boolean) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
  }

  static get possible() {
    return "MediaRecorder" in window;
  }

  get active() {
    return this.#recorder !== null;
  }

  /** Begin to record a stream, or end it, which saves what there is. It ends with the stream, too. */
  toggle(stream, title) {
    if (this.#recorder) {
      this.#recorder.stop();
    } else if (stream && Recording.possible) {
      this.#start(stream, title);
    }
  }

  #start(stream, title) {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    const recorder = this.#recorder = new MediaRecorder(stream, mimeType ? { mimeType } : {});
    const chunks = [];
    recorder.addEventListener("dataavailable", ({ data }) => { chunks.push(data); });
    recorder.addEventListener("stop", () => {
      this.#recorder = null;
      this.onChange(false);
      const [type] = recorder.mimeType.split(";");
      save(new Blob(chunks, { type }), `${title}_${now()}.${type === "video/mp4" ? "mp4" : "webm"}`);
    });
    recorder.start(CHUNK_MS);
    this.onChange(true);
  }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function now() {
  const local = new Date(Date.now() - 60_000 * new Date().getTimezoneOffset());
  return local.toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "_");
}
