// What an agent does besides writing: opens and closes a conversation, and decides what becomes of a reply that failed. Without a line an
// act is kept and done when the line is back, unless something else has happened there meanwhile.

import { pass } from "../api.js";
import { splitCursor } from "../live.js";
import { write } from "../outbox.js";

const SEARCHED = 100; // messages from the end among which the one of a kept act is looked for
const AGAIN_MS = 5_000;

export class Acts {
  #app;
  #prefix;
  #storage;
  #later;
  #isWaking = false;
  #timer = null; // of the next try, where the page does not notice that the line was gone
  #status;
  #loadToast;

  // `app`: {api, store, reads, outbox, thread, sender, i18n, cursor}; `owner`: company and agent.
  constructor(app, { owner, status, loadToast, storage = sessionStorage, later = (action, ms) => setTimeout(action, ms) }) {
    this.#app = app;
    this.#status = status;
    this.#loadToast = loadToast;
    this.#prefix = `omni:act:${owner}:`;
    this.#storage = storage;
    this.#later = later;
  }

  // Opens or closes it; pressed again before that was done, nothing is changed.
  toggle(id) {
    const { store, i18n } = this.#app;
    const conversation = store.conversation(id);
    if (!conversation) return null;
    const wish = { kind: "status", id, from: conversation.status, status: conversation.status === "Open" ? "Closed" : "Open" };
    if (!this.#kept(wish)) return this.#do(this.#made(wish));
    this.#forget(wish);
    return this.#tell("done", i18n.t("act.unkept"), () => this.#do(this.#made(wish)));
  }

  // `message`: as the thread shows it, also one that the server has not taken.
  async onMessage(action, message) {
    const { outbox, thread, i18n } = this.#app;
    const { id, clientId, conversationId, content, seq } = message;
    const wish = this.#made({ kind: action, id: conversationId, messageId: id, seq });
    if (action === "anyway") return outbox.sendAnyway(clientId);
    if (id === null) {
      if (action === "retry") return outbox.retry(clientId);
      const entry = outbox.discard(clientId);
      return entry && this.#tell("done", i18n.t("act.discarded"), () => thread.onEdit(entry));
    }
    if (action !== "edit") return this.#do(wish);
    const isDone = message.deliveryError?.discarded || (await this.#do({ ...wish, kind: "discard" }));
    return isDone && thread.onEdit({ conversationId, content, isPrivate: message.private });
  }

  // A choice of the agent's. Tried again by a button alone.
  async prefer(preferences) {
    await this.#app.api.prefer(preferences).catch((error) => pass(error) ?? this.#tell("refused", error, () => this.prefer(preferences)));
  }

  // The line is back.
  async wake() {
    if (this.#isWaking) return;
    this.#isWaking = true;
    try {
      for (const key of Object.keys(this.#storage)) if (key.startsWith(this.#prefix)) await this.#again(this.#read(key));
    } finally {
      this.#isWaking = false;
    }
  }

  // Whether it was done.
  async #do(wish) {
    const { sender } = this.#app;
    try {
      await this.#send(wish);
    } catch (error) {
      if (!error.kind) throw error;
      if (error.kind === "offline") await this.#keep(wish);
      else {
        this.#forget(wish);
        sender.renew();
        await this.#tell("refused", error, () => this.#do(wish));
      }
      return false;
    }
    this.#forget(wish);
    return true;
  }

  async #send({ kind, id, messageId, from, status }) {
    const { api, reads, store, i18n } = this.#app;
    if (kind !== "status") return reads.take(api.onMessage(kind, id, messageId), (message) => store.loadMessage(message));
    await reads.take(api.setStatus(id, status), (changed) => store.load([changed]));
    return this.#tell("done", i18n.t(`status.now${status}`), () => this.#do(this.#made({ kind, id, from: status, status: from })));
  }

  // As it stands now there, decides: what is so already, or has become something else, is not done.
  async #again(wish) {
    try {
      const how = await this.#standing(wish);
      if (how === "as it was") return await this.#do(wish);
      this.#forget(wish);
      return how === "changed" && this.#tell("refused", { code: "overtaken" }, () => this.#do(wish));
    } catch (error) {
      if (!error.kind) throw error;
      return this.#tryLater(); // the line is gone again: it stays
    }
  }

  // -> "as it was" when the act was made, "done", or "changed"
  async #standing({ kind, id, messageId, from, status, seq, epoch }) {
    const { api, cursor } = this.#app;
    const isSameLog = epoch === splitCursor(cursor).epoch;
    if (kind === "status") {
      const { data } = await api.conversation(id);
      return data.status === status ? "done" : isSameLog && data.status === from ? "as it was" : "changed";
    }
    const { data } = await api.thread(id, { limit: SEARCHED });
    const message = data.messages.find((one) => one.id === messageId);
    const isDone = message && (message.deliveryState !== "failed" || (kind === "discard" && message.deliveryError?.discarded));
    return isDone ? "done" : isSameLog && message?.seq === seq ? "as it was" : "changed";
  }

  #made(wish) {
    return { ...wish, epoch: splitCursor(this.#app.cursor).epoch };
  }

  // One for each conversation's status and each message: the last one counts.
  #key({ kind, id, messageId }) {
    return `${this.#prefix}${kind === "status" ? id : `${id}:${messageId}`}`;
  }

  #kept(wish) {
    return this.#read(this.#key(wish));
  }

  #read(key) {
    return JSON.parse(this.#storage.getItem(key));
  }

  #keep(wish) {
    const { i18n } = this.#app;
    if (!write(this.#storage, this.#key(wish), JSON.stringify(wish))) return this.#tell("refused", { kind: "offline" }, () => this.#do(wish));
    this.#tryLater();
    return this.#tell("done", i18n.t("act.kept"), () => this.#forget(wish));
  }

  #tryLater() {
    this.#timer ??= this.#later(() => {
      this.#timer = null;
      this.wake().catch(pass);
    }, AGAIN_MS);
  }

  #forget(wish) {
    this.#storage.removeItem(this.#key(wish));
  }

  // Shown and said: `how` it ended, as Toast has it, and what its button does.
  async #tell(how, what, act) {
    this.#status.say((await this.#loadToast().catch(pass))?.[how](what, act) ?? what.message ?? what);
  }
}
