// Replies and notes on their way from this browser. Each is kept until the server has it, under a key that makes sending it
// twice harmless. One storage entry each, which all tabs know; one tab at a time sends in a conversation. No DOM.
//
// States: undo (it goes out in a moment), sending, waiting (no line: tried again by itself), held (someone wrote meanwhile: the agent decides),
// failed (refused: the agent decides).

const RETRY_MS = [2_000, 5_000, 10_000, 20_000];
const GRACE_MS = 300; // from the last moment to take it back until it goes out: what another tab took back is known here by then

const SYSTEM = {
  now: () => Date.now(),
  elapsed: () => performance.now(), // a clock that is set does not move it
  id: () => crypto.getRandomValues(new Uint32Array(4)).join("-"),
  later: (action, ms) => setTimeout(action, ms),
  // `act` runs in one tab at a time; a tab that dies gives it free
  lock: async (name, act) => (navigator.locks ?? (await import("./later/leases.js"))).request(name, act),
};

export class Outbox {
  #entries = new Map();
  #due = new Map(); // clientId -> by `elapsed`, until when it can be taken back
  #waits = new Map(); // clientId -> ends the time in which it can be taken back
  #queued = new Set(); // what this tab waits to send
  #held = new Map(); // clientId -> files, as long as the page lives
  #prefix;
  #storage;
  #post;
  #files;
  #on;
  #system;

  // `owner`: company and agent. `post(entry, files, onProgress)` -> message, or rejects with {kind, code, message, body}.
  // `on`: {changed(conversationId), heard(messages), closed(conversationId, reason)}; `files`: {keepFiles(key, files), readFiles(key), dropFiles(key)}
  constructor({ owner, storage, post, files, on, system = SYSTEM }) {
    this.#prefix = `omni:outbox:${owner}:`;
    this.#storage = storage;
    this.#post = post;
    this.#files = files;
    this.#on = on;
    this.#system = system;
  }

  // Takes over what other pages of this browser left behind, or did while this one slept.
  restore() {
    for (const clientId of this.#entries.keys()) this.#stored(clientId);
    for (const key of Object.keys(this.#storage)) if (key.startsWith(this.#prefix)) this.#stored(key.slice(this.#prefix.length));
    for (const entry of this.#inOrder()) {
      this.#schedule(entry);
      this.#on.changed(entry.conversationId);
    }
    this.wake();
  }

  // Another tab has changed an entry (a `storage` event).
  hear(key) {
    if (!key?.startsWith(this.#prefix)) return;
    const entry = this.#stored(key.slice(this.#prefix.length));
    if (!entry) return;
    this.#schedule(entry);
    this.#on.changed(entry.conversationId);
  }

  // In the order of writing.
  of(conversationId) {
    return this.#inOrder().filter((entry) => entry.conversationId === conversationId);
  }

  // Whether one of them waits for the agent's decision.
  hasFailed(conversationId) {
    return this.of(conversationId).some((entry) => !isMoving(entry));
  }

  // The conversations of those.
  failed() {
    return new Set(this.#inOrder().filter((entry) => !isMoving(entry)).map(({ conversationId }) => conversationId));
  }

  // `extras`: what `wish` was made of, as Drafts has it. `undoMs`: how long it can be taken back before it is sent.
  // null: the browser does not keep it, so it is not taken.
  add({ conversationId, content, isPrivate, lastSeenMessageId, files = [], wish, extras }, undoMs = 0) {
    const now = this.#system.now();
    const entry = { clientId: this.#system.id(), conversationId, content, isPrivate, lastSeenMessageId, wish, extras, undoMs, dueAt: now + undoMs,
      createdAt: new Date(now).toISOString(), state: undoMs ? "undo" : "sending", error: null, tries: 0,
      names: files.map(({ name }) => name), progress: null };
    if (!write(this.#storage, this.#prefix + entry.clientId, JSON.stringify(entry))) return null;
    if (files.length) {
      this.#held.set(entry.clientId, files);
      this.#files.keepFiles(entry.clientId, files);
    }
    this.#due.set(entry.clientId, this.#system.elapsed() + undoMs);
    this.#keep(entry);
    return entry;
  }

  // Whoever does not want to wait sends it now.
  release(conversationId) {
    for (const { clientId, state } of this.of(conversationId)) if (state === "undo") this.retry(clientId);
  }

  retry(clientId) {
    const entry = this.#stored(clientId);
    if (entry && entry.state !== "sending") this.#keep({ ...entry, state: "sending", error: null });
  }

  // The agent has seen what others wrote and sends all the same: without the guard.
  sendAnyway(clientId) {
    const entry = this.#stored(clientId);
    if (entry) this.#keep({ ...entry, lastSeenMessageId: null });
    this.retry(clientId);
  }

  // Takes the text back; null when it is on its way, or another tab has taken it back. `files`: also a promise of them.
  discard(clientId) {
    const entry = this.#stored(clientId);
    const isGone = !entry || entry.state === "sending" || (entry.state === "undo" && this.#undoLeft(entry) <= 0);
    if (isGone) return null;
    const files = entry.names.length ? this.filesOf(clientId) : [];
    this.#remove(clientId);
    return { ...entry, files };
  }

  // An event or answer shows that the server has it, however the request itself ended.
  confirm(clientId) {
    this.#remove(clientId);
  }

  // The line is back.
  wake() {
    for (const entry of this.#inOrder()) if (entry.state === "waiting") this.retry(entry.clientId);
  }

  // What has to happen with it by itself, in whichever tab comes first.
  #schedule({ clientId, conversationId, state, tries }) {
    if (state !== "undo") this.#waits.get(clientId)?.();
    if (state === "waiting") {
      const isSame = (entry) => entry?.state === "waiting" && entry.tries === tries;
      this.#system.later(() => isSame(this.#entries.get(clientId)) && this.retry(clientId), RETRY_MS[Math.min(tries, RETRY_MS.length) - 1]);
    }
    if ((state !== "undo" && state !== "sending") || this.#queued.has(clientId)) return;
    this.#queued.add(clientId);
    const send = () => {
      this.#queued.delete(clientId);
      return this.#send(clientId);
    };
    // Whoever holds the lock may be another tab, or die: the others come after it, and look at what is left.
    this.#system.lock(this.#prefix + conversationId, send).catch((error) => this.#onTrouble(clientId, error));
  }

  async #send(clientId) {
    if (this.#stored(clientId)?.state === "undo") await this.#untilDue(clientId);
    const entry = this.#stored(clientId);
    if (entry?.state === "undo") this.#keep({ ...entry, state: "sending" });
    else if (entry?.state !== "sending") return;
    const files = entry.names.length ? await this.filesOf(clientId) : null;
    // At first the tab that wrote it may still be about to keep them.
    if (files === undefined) throw Object.assign(new Error("the browser did not keep them"), { kind: entry.tries < 2 ? "offline" : "refused", code: "files_lost" });
    const message = await this.#post(entry, files, (part) => this.#show(clientId, part));
    this.#remove(clientId);
    this.#on.heard([message]);
  }

  async #untilDue(clientId) {
    await new Promise((done) => {
      this.#waits.set(clientId, done);
      this.#system.later(done, Math.max(0, this.#undoLeft(this.#entries.get(clientId))) + GRACE_MS);
    });
    this.#waits.delete(clientId);
  }

  // How long this tab lets it be taken back: from when it first saw it, whatever happens to the clock since.
  #undoLeft({ clientId, dueAt, undoMs }) {
    const { now, elapsed } = this.#system;
    if (!this.#due.has(clientId)) this.#due.set(clientId, elapsed() + Math.min(Math.max(0, dueAt - now()), undoMs));
    return this.#due.get(clientId) - elapsed();
  }

  // Whatever went wrong, it ends neither this reply nor those after it.
  #onTrouble(clientId, error) {
    if (!error.kind) console.error(error); // a fault of ours, not of the line
    const entry = this.#stored(clientId);
    if (!entry) return;
    if (error.code === "newer_messages") {
      this.#on.heard(error.body.messages ?? []);
      return this.#keep({ ...entry, state: "held", error: null });
    }
    if (error.kind === "refused") {
      this.#keep({ ...entry, state: "failed", error: { code: error.code, message: error.message } });
      return error.code === "window_closed" && this.#on.closed(entry.conversationId, error.body.replyClosedReason);
    }
    this.#keep({ ...entry, state: "waiting", tries: entry.tries + 1 });
  }

  // undefined: the browser has not kept them.
  filesOf(clientId) {
    return this.#held.get(clientId) ?? this.#files.readFiles(clientId);
  }

  #show(clientId, progress) {
    const entry = this.#entries.get(clientId);
    if (!entry) return;
    this.#entries.set(clientId, { ...entry, progress });
    this.#on.changed(entry.conversationId);
  }

  // As the browser has it: other tabs send, edit and take back as well. null: gone.
  #stored(clientId) {
    let entry = null;
    try {
      entry = JSON.parse(this.#storage.getItem(this.#prefix + clientId));
    } catch {} // not ours, or broken: nothing to send
    if (!entry) this.#forget(clientId);
    else this.#entries.set(clientId, entry);
    if (entry?.state === "undo") this.#undoLeft(entry);
    return entry;
  }

  #keep(entry) {
    this.#entries.set(entry.clientId, entry);
    write(this.#storage, this.#prefix + entry.clientId, JSON.stringify(entry));
    this.#schedule(entry);
    this.#on.changed(entry.conversationId);
  }

  #remove(clientId) {
    const entry = this.#entries.get(clientId);
    if (!entry) return;
    this.#storage.removeItem(this.#prefix + clientId);
    if (entry.names.length) this.#files.dropFiles(clientId);
    this.#forget(clientId);
  }

  #forget(clientId) {
    const entry = this.#entries.get(clientId);
    for (const known of [this.#entries, this.#held, this.#due]) known.delete(clientId);
    this.#waits.get(clientId)?.();
    if (entry) this.#on.changed(entry.conversationId);
  }

  #inOrder() {
    return [...this.#entries.values()].sort((a, b) => a.createdAt.localeCompare(b.createdAt));
  }
}

// Whether the browser keeps it. A storage that is full or forbidden throws, under a name that differs from browser to browser.
export function write(storage, key, text) {
  try {
    storage.setItem(key, text);
    return true;
  } catch {
    return false;
  }
}

const isMoving = ({ state }) => ["undo", "sending", "waiting"].includes(state);

// Text that was never sent, per conversation and kind (a reply or a note), kept over reloads: what was written as a note is
// never found where replies are written. Gone only when it was handed to the outbox.
export class Drafts {
  #owner;
  #storage;
  #unkept = new Map(); // what the browser had no room for

  // `owner`: company and agent
  constructor(owner, storage) {
    this.#owner = owner;
    this.#storage = storage;
  }

  // Its name, also for its files.
  key(conversationId, isNote) {
    return `omni:${isNote ? "note" : "reply"}:${this.#owner}:${conversationId}`;
  }

  // What waits to be finished, the reply before the note: {text, isNote}, or null.
  first(conversationId) {
    return [false, true].map((isNote) => ({ text: this.get(conversationId, isNote), isNote })).find(({ text }) => text) ?? null;
  }

  get(conversationId, isNote) {
    const key = this.key(conversationId, isNote);
    return this.#unkept.get(key) ?? this.#storage.getItem(key) ?? "";
  }

  // What goes with a reply besides its text and files: {quote, cc, bcc}, as later/extras.js has it.
  extras(conversationId) {
    const key = this.#extrasKey(conversationId);
    try {
      return JSON.parse(this.#unkept.get(key) ?? this.#storage.getItem(key)) ?? {};
    } catch {
      return {}; // broken
    }
  }

  setExtras(conversationId, extras) {
    const text = JSON.stringify(extras);
    this.#put(this.#extrasKey(conversationId), text === "{}" ? "" : text);
  }

  // Whether the browser keeps it; if not, it lives as long as the page.
  set(conversationId, isNote, text) {
    return this.#put(this.key(conversationId, isNote), text);
  }

  #extrasKey(conversationId) {
    return `${this.key(conversationId, false)}:extras`;
  }

  #put(key, text) {
    this.#unkept.delete(key);
    if (!text.trim()) return this.#storage.removeItem(key) ?? true;
    const isKept = write(this.#storage, key, text);
    if (!isKept) this.#unkept.set(key, text);
    return isKept;
  }
}
