// Reads state over REST while events go on arriving. An answer is a picture of one moment: what is applied while it is under way
// is applied again after it, one older than what this page had already is asked for again, and one of a life that has ended is not
// taken. Whatever loads state goes through here. No DOM.

import { ApiError } from "./api.js";
import { splitCursor } from "./live.js";

const AGAIN_MS = 400; // a process that hears of events late is level within a second
const TRIES_MOST = 6;

const SYSTEM = { later: (action, ms) => setTimeout(action, ms) };

export class Reads {
  #open = new Set(); // for each read under way: the events since it began
  #store;
  #cursor;
  #system;

  // `cursor()`: up to where this page has applied events.
  constructor(store, cursor, system = SYSTEM) {
    this.#store = store;
    this.#cursor = cursor;
    this.#system = system;
  }

  // An event that the store has just applied.
  note(event) {
    for (const held of this.#open) held.push(event);
  }

  // `fetch()` -> answer with the `cursor` it was read at; `load(answer)` puts it into the store. Rejects as `fetch` does, and when
  // all answers were too old.
  async run(fetch, load) {
    for (let tries = 0; tries < TRIES_MOST; tries++) {
      if (tries) await new Promise((done) => this.#system.later(done, AGAIN_MS));
      const { life } = this.#store;
      const begun = this.#cursor();
      const held = [];
      this.#open.add(held);
      try {
        const answer = await fetch();
        if (life !== this.#store.life || isOlder(answer.cursor, begun)) continue;
        load(answer);
        for (const event of held) this.#store.apply(event);
        return answer;
      } finally {
        this.#open.delete(held);
      }
    }
    throw new ApiError("server");
  }

  // The answer of a write, which is not made twice: of a life that has ended it is left alone, the snapshot has it.
  async take(writing, load) {
    const { life } = this.#store;
    const answer = await writing;
    if (life === this.#store.life) load(answer);
  }
}

// A cursor of another life cannot be compared: it is not what this page needs.
function isOlder(cursor, begun) {
  if (!cursor) return false; // something on the way has taken the header away
  const [answer, own] = [splitCursor(cursor), splitCursor(begun)];
  return answer.epoch !== own.epoch || answer.seq < own.seq;
}
