// Frames per second as they are shown, the time from the server to the screen, and how the picture is received.

export class Stats {
  #shown = 0;
  #countedAt = performance.now();
  #shownAt = performance.now();
  #before = {};

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
   * Since the last call: `fps`; `delayMs` from the server to the screen, and what was `received` as `width`, `height`,
   * `codec`, `bitsPerSecond` and `loss` (0..1), or null where it is not known.
   * @param {RTCStatsReport} report
   */
  read(report) {
    const now = performance.now();
    const seconds = (now - this.#countedAt) / 1000;
    let fps = this.#shown / seconds;
    this.#shown = 0;
    this.#countedAt = now;

    const all = [...report.values()];
    const videos = all.filter(({ type, kind }) => type === "inbound-rtp" && kind === "video");
    const main = videos.find(({ mid }) => mid === "0") ?? videos[0];
    if (!main) return { fps, delayMs: null, received: null };
    if (!this.counts) fps = main.framesPerSecond ?? 0;

    const sums = {
      processing: main.totalProcessingDelay ?? main.jitterBufferDelay ?? 0,
      frames: main.framesDecoded ?? 0,
      bytes: main.bytesReceived ?? 0,
      packets: main.packetsReceived ?? 0,
      lost: main.packetsLost ?? 0,
    };
    const since = Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum - (this.#before[name] ?? 0)]));
    this.#before = sums;
    const pair = all.find(({ type, nominated }) => type === "candidate-pair" && nominated);
    const delayMs = since.frames > 0
      ? Math.max(0, 1000 * since.processing / since.frames) + 500 * (pair?.currentRoundTripTime ?? 0)
      : null;
    const received = {
      width: main.frameWidth ?? 0,
      height: main.frameHeight ?? 0,
      codec: report.get(main.codecId)?.mimeType?.split("/")[1] ?? "",
      bitsPerSecond: Math.max(0, 8 * since.bytes / seconds),
      loss: Math.max(0, since.lost) / Math.max(1, since.lost + since.packets),
    };
    return { fps, delayMs, received };
  }
}
