// The statistics overlay: how the picture gets here, and where its time goes.

const STAGES = ["pose", "figure", "parts", "render", "show", "encode"];

export class Numbers {
  #box;
  #list;

  constructor(box) {
    this.#box = box;
    this.#list = box.querySelector("dl");
  }

  get shown() {
    return !this.#box.hidden;
  }

  toggle() {
    this.#box.hidden = !this.#box.hidden;
  }

  /**
   * @param {{fps: number, delayMs: number | null, received: object | null}} seen of the page, see Stats
   * @param {object} server its answer to /stats
   */
  show({ fps, delayMs, received }, server) {
    if (!this.shown) return;
    const rows = { Frames: `${fps.toFixed(1)} fps` };
    if (delayMs !== null) {
      const whole = Number.isFinite(server.delay_ms);
      rows[whole ? "Source to page" : "Server to page"] = `${Math.round(delayMs + (whole ? server.delay_ms : 0))} ms`;
    }
    if (received) {
      rows.Picture = `${received.width} × ${received.height} ${received.codec}`;
      rows.Received = `${(received.bitsPerSecond / 1e6).toFixed(2)} Mbit/s`;
      rows.Lost = `${(100 * received.loss).toFixed(1)} %`;
    }
    for (const stage of STAGES) {
      const ms = server.stages_ms?.[stage]?.p50;
      if (ms !== undefined) rows[`${stage[0].toUpperCase()}${stage.slice(1)}`] = `${ms.toFixed(1)} ms`;
    }
    if (server.quality) rows.Quality = `${server.quality.name}: ${server.quality.changes}`;
    if (server.viewers !== undefined) rows.Viewers = String(server.viewers);
    this.#list.replaceChildren(...Object.entries(rows).flatMap(([name, value]) => {
      return [["dt", name], ["dd", value]].map(([tag, text]) => {
        return Object.assign(document.createElement(tag), { textContent: text });
      });
    }));
  }
}
