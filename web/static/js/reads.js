// Reads state over REST while events go on arriving. An answer is a picture of one moment: what is applied while it is under way
// is applied again after it, one older than what this page had already is asked for again, and one of a life that has ended is not
// taken. Whatever loads state goes through here. No DOM.

import { ApiError } from "./api.js";
import { splitCursor } from "./live.js";

const AGAIN_MS = 400; // a process that hears of events late is level within a second
const TRIES_MOST = 6;

const SYSTEM = { later: (action, ms) => setTimeout(action, ms) };

export class Reads {
  #open = new Set(); // for each read under way: what it does with an event
  #loads = 0; // grows with whatever is put into the store, and is not an event
  #writing = 0;
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
    for (const hear of this.#open) hear(event);
  }

  // `fetch()` -> answer with the `cursor` it was read at; `load(answer)` puts it into the store. Rejects as `fetch` does, and when
  // all answers were too old.
  async run(fetch, load) {
    const held = [];
    return this.#until((event) => held.push(event), async () => {
      held.length = 0;
      const { life } = this.#store;
      const begun = this.#cursor();
      const answer = await fetch();
      if (life !== this.#store.life || isOlder(answer.cursor, begun)) return null;
      this.#loads++;
      load(answer);
      for (const event of held) this.#store.apply(event);
      return answer;
    });
  }

  // What the server counts is true at one place of the log, its answer's cursor, and cannot be applied again. So `own()` counts here after
  // each event, and `correct(theirs, ours)` gets the two of the same place. While something else is loaded or written the two may differ.
  count(fetch, own, correct) {
    const places = new Map(); // cursor -> what was counted here
    const count = () => places.set(this.#cursor(), own());
    return this.#until(count, async () => {
      const { life } = this.#store;
      const before = this.#loads;
      places.clear();
      count();
      const { data, cursor } = await fetch();
      if (!places.has(cursor)) await this.#pause(); // its events are on their way
      if (this.#writing || before !== this.#loads || life !== this.#store.life || !places.has(cursor)) return null;
      this.#loads++;
      correct(data, places.get(cursor));
      return true;
    });
  }

  // Asks again until `ask()` has something; meanwhile events go to `hear` as well.
  async #until(hear, ask) {
    this.#open.add(hear);
    try {
      for (let tries = 0; tries < TRIES_MOST; tries++) {
        if (tries) await this.#pause();
        const answer = await ask();
        if (answer) return answer;
      }
    } finally {
      this.#open.delete(hear);
    }
    throw new ApiError("server");
  }

  #pause() {
    return new Promise((done) => this.#system.later(done, AGAIN_MS));
  }

  // The answer of a write, which is not made twice: of a life that has ended it is left alone, the snapshot has it.
  async take(writing, load) {
    const { life } = this.#store;
    this.#writing++;
    try {
      const answer = await writing;
      if (life === this.#store.life) load(answer);
    } finally {
      this.#writing--;
      this.#loads++;
    }
  }
}

// A cursor of another life cannot be compared: it is not what this page needs.
function isOlder(cursor, begun) {
  if (!cursor) return false; // something on the way has taken the header away
  const [answer, own] = [splitCursor(cursor), splitCursor(begun)];
  return answer.epoch !== own.epoch || answer.seq < own.seq;
}
