// How far this page has come in the event log. Takes events from the socket in order, fetches over REST what is
// missing, and asks for a new snapshot when the log cannot tell. No DOM.

import { joinCursor, splitCursor } from "./live.js";

const PAGE = 100;

export class Resume {
  #epoch;
  #seq;
  #wanted; // the highest seq heard of: whatever lies between has to be fetched
  #heard = { epoch: null, seq: 0 }; // the same, but of the line: a snapshot may be older than it
  #needsSnapshot = false;
  #running = null;
  #io;

  // `io`: {fetchEvents(cursor, limit) -> {cursor, events, reset?}, fetchSnapshot() -> cursor, apply(event), changed()}
  constructor(cursor, io) {
    this.#io = io;
    this.#set(cursor);
  }

  get cursor() {
    return joinCursor(this.#epoch, this.#seq);
  }

  get isBehind() {
    return this.#needsSnapshot || this.#wanted > this.#seq || this.#running !== null;
  }

  // How many events are still to come, as far as we know.
  get missing() {
    return Math.max(0, this.#wanted - this.#seq);
  }

  // Returns a promise only where something had to be fetched.
  take(epoch, events) {
    for (const event of events) if (epoch === this.#epoch && event.seq === this.#seq + 1) this.#apply(event);
    return events.length ? this.hear(joinCursor(epoch, events.at(-1).seq)) : null;
  }

  // The log reaches up to `cursor`, whether we have it or not.
  hear(cursor) {
    this.#heard = splitCursor(cursor);
    if (this.#heard.epoch !== this.#epoch) return this.reset();
    this.#wanted = Math.max(this.#wanted, this.#heard.seq);
    return this.#wanted > this.#seq ? this.catchUp() : null;
  }

  reset() {
    this.#needsSnapshot = true;
    return this.catchUp();
  }

  // One run at a time; whoever asks meanwhile waits for the same one. Rejects when the server cannot be reached.
  catchUp() {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
      this.#io.changed();
    });
    this.#io.changed();
    return this.#running;
  }

  async #run() {
    do {
      if (this.#needsSnapshot) await this.#takeSnapshot();
      else await this.#fetchPage();
    } while (this.#needsSnapshot || this.#wanted > this.#seq);
  }

  async #takeSnapshot() {
    const cursor = await this.#io.fetchSnapshot();
    this.#needsSnapshot = false;
    this.#set(cursor);
  }

  async #fetchPage() {
    const from = this.cursor;
    const { cursor, events, reset } = await this.#io.fetchEvents(from, PAGE);
    if (reset) {
      this.#needsSnapshot = true;
      return;
    }
    // The socket may have brought some of these in the meantime: they are dropped by their seq.
    for (const event of events) {
      if (event.seq === this.#seq + 1) this.#apply(event);
      else if (event.seq > this.#seq) this.#needsSnapshot = true; // a hole in the answer itself
    }
    if (this.#needsSnapshot) return;
    const told = splitCursor(cursor);
    if (told.epoch !== this.#epoch) this.#needsSnapshot = true;
    else if (events.length === PAGE) this.#wanted = Math.max(this.#wanted, this.#seq + 1);
    else this.#seq = Math.max(this.#seq, told.seq);
    // A server that has less than we heard of lost part of its log: only a snapshot is true then.
    if (events.length === 0 && this.#wanted > this.#seq) {
      this.#needsSnapshot = true;
      this.#heard = told;
    }
  }

  #apply(event) {
    this.#seq = event.seq;
    try {
      this.#io.apply(event);
    } catch (error) {
      reportError(error);
    }
  }

  #set(cursor) {
    ({ epoch: this.#epoch, seq: this.#seq } = splitCursor(cursor));
    this.#wanted = this.#heard.epoch === this.#epoch ? Math.max(this.#seq, this.#heard.seq) : this.#seq;
  }
}
