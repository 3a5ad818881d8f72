// Keeps a session alive: connects, and connects again, a little more patiently each time.

import { SessionError } from "./session.js";

const UNAUTHORIZED = 401;
const BACKOFF_MS = [300, 700, 1500, 3000, 5000];

export class Link {
  #session = null;
  #wanted = false;
  #wake = () => {};
  #changing = false;

  /**
   * @param {(problem: Error | null) => Session} makeSession is told why the session before it did not come about
   * @param {(state: "connecting" | "live" | "waiting" | "refused", sentence: string, status: number) => void} onState
   *   `status` is that of the server's refusal, 0 if there was none
   */
  constructor(makeSession, onState) {
    this.makeSession = makeSession;
    this.onState = onState;
  }

  async run() {
    this.#wanted = true;
    let sentence = "Connecting…", trouble = null;
    for (let failures = 0; this.#wanted; failures += 1) {
      let status = 0;
      if (!this.#changing) this.onState("connecting", sentence, status);
      const session = this.#session = this.makeSession(trouble);
      const changed = this.#changing;
      this.#changing = false;
      try {
        await session.open();
        if (!this.#wanted) return;
        this.onState("live", "", status);
        trouble = null;
        failures = 0;
        await session.ended;
        sentence = "The connection was lost. Trying again…";
      } catch (problem) {
        trouble = problem;
        status = problem.status ?? 0;
        if (problem instanceof SessionError) sentence = `${problem.message} Trying again…`;
        else sentence = "The server does not answer. Trying again…";
      }
      session.close();
      this.#session = null;
      if (!this.#wanted) return;
      if (this.#changing && !changed) continue;
      if (status === UNAUTHORIZED) return this.onState("refused", trouble.message, status);  // nor will it be let in later
      this.onState("waiting", sentence, status);
      if (!this.#wanted) return;
      await this.#pause(BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)]);
    }
  }

  /** Give the present session up; another one follows. */
  renew() {
    this.#session?.end();
  }

  /** Go over to another session at once, without a word: something else is asked for. */
  change() {
    this.#changing = this.#session !== null;
    this.renew();
  }

  /** Leave for good, at once. */
  stop() {
    this.#wanted = false;
    this.#session?.close();
    this.#wake();
  }

  /** Ask the server for one of its commands; resolves to its reply, or to null while there is no connection. */
  async ask(command, value) {
    return this.#session?.ask(command, value) ?? null;
  }

  /** The present session; null between them. */
  get session() {
    return this.#session;
  }

  stats() {
    return this.#session?.stats() ?? new Map();
  }

  #pause(ms) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, ms * (0.8 + 0.4 * Math.random()));  // viewers of one server shall not return in step
    });
  }
}
