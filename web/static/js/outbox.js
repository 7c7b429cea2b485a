// Replies on their way from this browser. Each is kept until the server has it, under a key that makes sending it
// twice harmless. One storage entry per reply: tabs never overwrite each other's. No DOM.
//
// States: undo (it goes out in a moment), sending, waiting (no line: tried again by itself), held (someone wrote meanwhile: the agent decides),
// failed (refused: the agent decides).

const RETRY_MS = [2_000, 5_000, 10_000, 20_000];

const SYSTEM = {
  now: () => new Date().toISOString(),
  id: () => crypto.randomUUID(),
  later: (action, ms) => setTimeout(action, ms),
};

export class Outbox {
  #entries = new Map();
  #queues = new Map(); // conversation id -> promise of the send before: replies keep their order
  #held = new Map(); // clientId -> files, as long as the page lives
  #prefix;
  #storage;
  #post;
  #files;
  #on;
  #system;

  // `post(entry, files, onProgress)` -> message, or rejects with {kind, code, message, body}. `on`: {changed(conversationId), heard(messages)}
  // `files`: {keepFiles(key, files), readFiles(key), dropFiles(key)}
  constructor({ agentId, storage, post, files, on, system = SYSTEM }) {
    this.#prefix = `omni:outbox:${agentId}:`;
    this.#storage = storage;
    this.#post = post;
    this.#files = files;
    this.#on = on;
    this.#system = system;
  }

  // Sends what an earlier page of this browser left behind.
  restore() {
    for (const key of Object.keys(this.#storage).filter((name) => name.startsWith(this.#prefix))) {
      const entry = JSON.parse(this.#storage.getItem(key));
      this.#entries.set(entry.clientId, entry);
    }
    for (const entry of this.#inOrder()) if (isMoving(entry)) this.#queue(entry);
  }

  // In the order of writing.
  of(conversationId) {
    return this.#inOrder().filter((entry) => entry.conversationId === conversationId);
  }

  // Whether one of them waits for the agent's decision.
  hasFailed(conversationId) {
    return this.of(conversationId).some((entry) => !isMoving(entry));
  }

  // `undoMs`: how long it can be taken back before it is sent.
  add({ conversationId, content, isPrivate, lastSeenMessageId, files = [] }, undoMs = 0) {
    const entry = { clientId: this.#system.id(), conversationId, content, isPrivate, lastSeenMessageId,
      createdAt: this.#system.now(), state: undoMs ? "undo" : "sending", error: null, tries: 0,
      names: files.map(({ name }) => name), progress: null };
    if (files.length) {
      this.#held.set(entry.clientId, files);
      this.#files.keepFiles(entry.clientId, files);
    }
    this.#keep(entry);
    if (undoMs) this.#system.later(() => this.#release(entry.clientId), undoMs);
    else this.#queue(entry);
    return entry;
  }

  // Whoever does not want to wait sends it now.
  release(conversationId) {
    for (const { clientId } of this.of(conversationId)) this.#release(clientId);
  }

  #release(clientId) {
    if (this.#entries.get(clientId)?.state === "undo") this.retry(clientId);
  }

  retry(clientId) {
    const entry = this.#entries.get(clientId);
    if (!entry || entry.state === "sending") return;
    this.#keep({ ...entry, state: "sending", error: null });
    this.#queue(entry);
  }

  // The agent has seen what others wrote and sends all the same: without the guard.
  sendAnyway(clientId) {
    const entry = this.#entries.get(clientId);
    if (entry) this.#keep({ ...entry, lastSeenMessageId: null });
    this.retry(clientId);
  }

  // Takes the text back; null when it has been sent meanwhile.
  discard(clientId) {
    const entry = this.#entries.get(clientId);
    const files = this.#held.get(clientId);
    this.#remove(clientId);
    return entry ? { ...entry, files } : null;
  }

  // An event or answer shows that the server has it, however the request itself ended.
  confirm(clientId) {
    this.#remove(clientId);
  }

  // The line is back.
  wake() {
    for (const entry of this.#inOrder()) if (entry.state === "waiting") this.retry(entry.clientId);
  }

  #queue({ clientId, conversationId }) {
    const before = this.#queues.get(conversationId) ?? Promise.resolve();
    this.#queues.set(conversationId, before.then(() => this.#send(clientId)));
  }

  async #send(clientId) {
    const entry = this.#entries.get(clientId);
    if (!entry) return;
    try {
      const files = entry.names.length ? await this.filesOf(clientId) : null;
      if (files === undefined) throw Object.assign(new Error("the browser did not keep them"), { kind: "refused", code: "files_lost" });
      const message = await this.#post(entry, files, (part) => this.#show(clientId, part));
      this.#on.heard([message]);
      this.#remove(clientId);
    } catch (error) {
      if (this.#entries.has(clientId)) this.#onTrouble(entry, error);
    }
  }

  #onTrouble(entry, error) {
    if (error.code === "newer_messages") {
      this.#on.heard(error.body.messages ?? []);
      return this.#keep({ ...entry, state: "held", error: null });
    }
    if (error.kind === "refused") {
      return this.#keep({ ...entry, state: "failed", error: { code: error.code, message: error.message } });
    }
    if (error.kind === undefined) throw error; // a fault of ours, not of the line
    this.#keep({ ...entry, state: "waiting", tries: entry.tries + 1 });
    const delay = RETRY_MS[Math.min(entry.tries, RETRY_MS.length - 1)];
    this.#system.later(() => this.#entries.get(entry.clientId)?.state === "waiting" && this.retry(entry.clientId), delay);
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

  #keep(entry) {
    this.#entries.set(entry.clientId, entry);
    write(this.#storage, this.#prefix + entry.clientId, JSON.stringify(entry));
    this.#on.changed(entry.conversationId);
  }

  #remove(clientId) {
    const entry = this.#entries.get(clientId);
    if (!entry) return;
    this.#entries.delete(clientId);
    this.#storage.removeItem(this.#prefix + clientId);
    if (entry.names.length) this.#files.dropFiles(clientId);
    this.#held.delete(clientId);
    this.#on.changed(entry.conversationId);
  }

  #inOrder() {
    return [...this.#entries.values()].sort((a, b) => a.createdAt.localeCompare(b.createdAt));
  }
}

// A full or forbidden storage costs survival of a reload, neither the reply nor the text in its field.
function write(storage, key, text) {
  try {
    storage.setItem(key, text);
  } catch (error) {
    if (error.name !== "QuotaExceededError" && error.name !== "SecurityError") throw error;
  }
}

const isMoving = ({ state }) => ["undo", "sending", "waiting"].includes(state);

// Text that was never sent, per conversation, kept over reloads. Gone only when it was handed to the outbox.
export class Drafts {
  #prefix;
  #storage;

  constructor(agentId, storage) {
    this.#prefix = `omni:draft:${agentId}:`;
    this.#storage = storage;
  }

  get(conversationId) {
    return this.#storage.getItem(this.#prefix + conversationId) ?? "";
  }

  set(conversationId, text) {
    if (!text.trim()) return this.#storage.removeItem(this.#prefix + conversationId);
    write(this.#storage, this.#prefix + conversationId, text);
  }
}
