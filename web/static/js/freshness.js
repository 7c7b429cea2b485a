// How fresh the page is, in one word for the chip, and whether to poll. Two facts are kept apart: the state of
// the line, and whether this page holds everything. No DOM.

import { SYSTEM } from "./live.js";

const GRACE_MS = 5_000; // most breaks are shorter: no polling, no alarm
const POLL_EVERY_MS = 5_000;
const KEPT = 20; // delays: what is shown is their median

export class Freshness {
  #link = { phase: "connecting" };
  #behind = false;
  #polling = false;
  #pollFailed = false;
  #online = true;
  #stopped = null;
  #timer = null;
  #asOf;
  #on;
  #system;

  // `on`: {poll() -> Promise, changed(view)}
  constructor(on, system = SYSTEM) {
    this.#on = on;
    this.#system = system;
    this.#asOf = system.date();
    this.#schedule(GRACE_MS);
  }

  // {word: live | catching-up | reconnecting | polling | offline | stopped, asOf, missing, reason}
  get view() {
    const word = this.#word();
    return { word, asOf: word === "live" ? this.#system.date() : this.#asOf, missing: this.#behind || 0, reason: this.#stopped };
  }

  link(state) {
    if (this.#link.phase === "live" && state.heardAt) this.#asOf = state.heardAt;
    this.#link = state;
    if (state.phase === "stopped") this.stop(state.reason);
    if (state.phase === "live") this.#endPolling();
    else if (this.#timer === null && !this.#stopped) this.#schedule(GRACE_MS);
    this.#changed();
  }

  // `missing`: false when the page holds everything, else how many events it lacks (0: not known).
  behind(missing) {
    this.#behind = missing;
    this.#changed();
  }

  online(isOnline) {
    this.#online = isOnline;
    if (isOnline && this.#polling) this.#poll();
    this.#changed();
  }

  // Signed out, or this page is too old for the server: nothing will come any more, and the chip must say so.
  stop(reason) {
    this.#endPolling();
    this.#stopped = reason;
    this.#changed();
  }

  #word() {
    if (this.#stopped) return "stopped";
    if (this.#link.phase === "live") return this.#behind === false ? "live" : "catching-up";
    if (this.#link.phase === "catching-up") return "catching-up";
    if (!this.#online || this.#pollFailed) return "offline";
    return this.#polling ? "polling" : this.#link.phase === "connecting" ? "connecting" : "reconnecting";
  }

  #schedule(ms) {
    this.#system.cancel(this.#timer);
    this.#timer = this.#system.later(() => this.#poll(), ms);
  }

  async #poll() {
    this.#polling = true;
    this.#schedule(POLL_EVERY_MS);
    try {
      await this.#on.poll();
      this.#pollFailed = false;
      this.#asOf = this.#system.date();
    } catch {
      this.#pollFailed = this.#polling;
    }
    this.#changed();
  }

  #endPolling() {
    this.#system.cancel(this.#timer);
    this.#timer = null;
    this.#polling = this.#pollFailed = false;
  }

  #changed() {
    this.#on.changed(this.view);
  }
}

// How long messages take from Chatwoot's time to this screen. Clocks are brought together through the server's:
// frames carry its time, and the one that came quickest is closest to the truth.

export class Delay {
  #ahead = -Infinity; // the server's clock minus this one's, in ms
  #base; // the server's clock minus the one of this page, which nobody sets
  #kept = [];

  // `printedAt`: when the server printed the page, in ms.
  constructor(printedAt = Date.now()) {
    this.#base = printedAt - performance.now();
  }

  // `ahead` as the line measured it: never more than the truth, because every frame takes its time.
  hear(ahead) {
    this.#ahead = Math.max(this.#ahead, ahead);
    if (Number.isFinite(ahead)) this.#base = Date.now() + ahead - performance.now();
  }

  // A message that happened at `iso` is on the screen `now`.
  note(iso, now) {
    const ms = now + this.#ahead - Date.parse(iso);
    if (!Number.isFinite(ms)) return;
    this.#kept.push(Math.max(0, ms));
    if (this.#kept.length > KEPT) this.#kept.shift();
  }

  // The server's clock, as far as it is known here.
  serverNow() {
    return this.#base + performance.now();
  }

  // null: nothing was measured yet
  get median() {
    const sorted = [...this.#kept].sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? null;
  }
}
