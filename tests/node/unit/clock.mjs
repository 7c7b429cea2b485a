// A clock that tests turn by hand: `later` and `cancel` as the modules take them.

export class Clock {
  ms = 1_000_000;
  #timers = new Map();
  #next = 1;

  now = () => this.ms;

  setBack = 0; // by how much somebody has set the date back

  date = () => this.ms - this.setBack;

  later = (action, ms) => {
    this.#timers.set(this.#next, { at: this.ms + ms, action });
    return this.#next++;
  };

  cancel = (timer) => this.#timers.delete(timer);

  // Lets promises settle between timers, as a real event loop does.
  async pass(ms) {
    const end = this.ms + ms;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.ms = Math.max(this.ms, due[1].at);
      due[1].action();
      await settle();
    }
    this.ms = end;
  }
}

export const settle = () => new Promise((resolve) => setImmediate(resolve));
