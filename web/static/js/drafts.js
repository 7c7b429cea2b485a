// Unsent text per conversation, kept over reloads. No DOM. Gone only when the reply was handed to the outbox.

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
    try {
      this.#storage.setItem(this.#prefix + conversationId, text);
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error; // the text is still in its field
    }
  }
}
