// How long messages take from Chatwoot's time to this screen. No DOM. Clocks are brought together through the server's:
// frames carry its time, and the one that came quickest is closest to the truth.

const KEPT = 20; // messages: what is shown is their median

export class Delay {
  #ahead = -Infinity; // the server's clock minus this one's, in ms
  #kept = [];

  // `ahead` as the line measured it: never more than the truth, because every frame takes its time.
  hear(ahead) {
    this.#ahead = Math.max(this.#ahead, ahead);
  }

  // A message that happened at `iso` is on the screen `now`.
  note(iso, now) {
    const ms = now + this.#ahead - Date.parse(iso);
    if (!Number.isFinite(ms)) return;
    this.#kept.push(Math.max(0, ms));
    if (this.#kept.length > KEPT) this.#kept.shift();
  }

  // null: nothing was measured yet
  get median() {
    const sorted = [...this.#kept].sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? null;
  }
}
