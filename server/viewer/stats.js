// Frames per second as they are shown, and the time from the server to the screen.

export class Stats {
  #shown = 0;
  #countedAt = performance.now();
  #shownAt = performance.now();
  #before = { processing: 0, frames: 0 };

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    const count = () => {
      this.#shown += 1;
      this.#shownAt = performance.now();
      video.requestVideoFrameCallback(count);
    };
    video.requestVideoFrameCallback?.(count);
    this.counts = "requestVideoFrameCallback" in video;
  }

  /** Milliseconds since the last new picture. */
  get stalledMs() {
    return this.counts ? performance.now() - this.#shownAt : 0;
  }

  /**
   * Since the last call: `fps`, and `delayMs` from the server to the screen, or null where it is not known.
   * @param {RTCStatsReport} report
   */
  read(report) {
    const now = performance.now();
    let fps = 1000 * this.#shown / (now - this.#countedAt);
    this.#shown = 0;
    this.#countedAt = now;

    let delayMs = null;
    const videos = [...report.values()].filter(({ type, kind }) => type === "inbound-rtp" && kind === "video");
    const main = videos.find(({ mid }) => mid === "0") ?? videos[0];
    if (main) {
      if (!this.counts) fps = main.framesPerSecond ?? 0;
      const processing = main.totalProcessingDelay ?? main.jitterBufferDelay ?? 0;
      const frames = (main.framesDecoded ?? 0) - this.#before.frames;
      if (frames > 0) delayMs = 1000 * (processing - this.#before.processing) / frames;
      this.#before = { processing, frames: main.framesDecoded ?? 0 };
    }
    const pair = [...report.values()].find(({ type, nominated }) => type === "candidate-pair" && nominated);
    if (delayMs !== null) delayMs = Math.max(0, delayMs) + 500 * (pair?.currentRoundTripTime ?? 0);
    return { fps, delayMs };
  }
}
