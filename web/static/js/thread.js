// The open conversation: messages and pending replies in one log. Sticks to the end only when the agent is there,
// never moves what is being read, pages backwards, keeps the document small.

import { fillAvatar, fillSlots, find, perFrame, reconcile, setAttrs, setText, slot } from "./dom.js";
import { pass } from "./api.js";
import { isGroup } from "./i18n.js";
import { arrange, fillMessage, firstNew, forms, loadForms, messageKey } from "./message.js";

const PAGE = 50;
const SHOWN_MAX = 300;
const FAR_PAGES = 40; // a link to a message further back than this leads to the end
const STICK_PX = 100;
const AGAIN_MS = 5_000; // the next try for a thread that could not be fetched
const READ_MS = 2_000; // what came less than this before Enter nobody has read
const TELL_AGAIN_MS = 1_500; // that something was read: it is read, whatever becomes of the line

export class Thread {
  #els = {
    pane: find("#thread"), empty: find("#thread-empty"), head: find("#thread-head"), log: find("#log"),
    items: find("#messages"), trouble: find("#thread-trouble"), older: find("#older"), pill: find("#unseen"),
  };
  #app;
  #id = null;
  #fromId = null; // the first message shown; null: a page from the end
  #loading = null; // promise of the older page on its way
  #firstNewId = null;
  #lastKey = null;
  #unseen = 0;
  #isStuck = true;
  #inSight = []; // [when, the number of the message that came last by then]
  #told; // what was last told to be read
  #again; // timer of that
  #closing; // timer of the moment from which the channel takes no replies
  paint = perFrame(() => this.#paint());

  // `app`: {agent, store, i18n, api, reads, outbox, sender, acts, view}
  constructor(app) {
    this.#app = app;
    this.#els.log.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    // Images and a growing composer change heights without an event of ours.
    const sizes = new ResizeObserver(() => this.#isStuck && this.toEnd());
    sizes.observe(this.#els.items);
    sizes.observe(this.#els.log);
    this.#els.pill.addEventListener("click", () => this.toEnd());
    find("button", this.#els.trouble).addEventListener("click", () => this.open(this.#id));
    this.#els.older.addEventListener("click", (event) => {
      event.preventDefault();
      this.#loadOlder();
    });
    this.#els.items.addEventListener("click", (event) => this.#onAction(event));
    app.store.subscribe((ids) => ids.has(this.#id) && this.paint());
    document.addEventListener("visibilitychange", () => this.#markRead());
    this.wake();
  }

  async open(id) {
    const { store } = this.#app;
    this.#id = id;
    this.#fromId = null;
    this.#inSight = [];
    this.#unseen = 0;
    this.#isStuck = true;
    this.#lastKey = null;
    this.#els.trouble.hidden = true;
    if (id !== null && !store.hasThread(id)) {
      this.#paint();
      if (!(await this.#fetch(id))) return;
    }
    const messages = store.messages(id);
    this.#inSight = [[-Infinity, store.lastCame(id)]];
    this.#firstNewId = firstNew(messages, store.unread(id) ?? 0);
    // A whole thread is not news: only what comes after it is read out.
    this.#els.log.ariaBusy = "true";
    this.#paint();
    this.#els.log.ariaBusy = "false";
    const wanted = Number(/^#m(\d+)$/.exec(location.hash)?.[1]);
    if (!wanted || !(await this.#goTo(({ id: found }) => found === wanted))) this.toEnd();
  }

  // A link to one message, or a quote of one, leads there, also where it lies far back. `isWanted(message)`: whether it is the one.
  async #goTo(isWanted) {
    const { store } = this.#app;
    const id = this.#id;
    this.#isStuck = false;
    const place = () => store.messages(id).findIndex(isWanted);
    for (let pages = 0; pages < FAR_PAGES && place() < 0 && store.hasOlder(id) && this.#id === id; pages++) await this.#loadOlder();
    if (place() < 0 || this.#id !== id) return null;
    const messages = store.messages(id);
    const at = place();
    if (at < this.#from(messages)) this.#fromId = messages[Math.max(0, at - PAGE)].id;
    this.#paint();
    const node = find(`#m${messages[at].id}`);
    for (const before of this.#els.items.querySelectorAll("[data-wanted]")) delete before.dataset.wanted;
    node.dataset.wanted = "";
    node.scrollIntoView({ block: "center" });
    return node;
  }

  // For the eye and for the ear.
  async #goToQuoted(number) {
    const node = await this.#goTo(({ chatwootMessageId }) => chatwootMessageId === number);
    node?.setAttribute("tabindex", "-1");
    node?.focus();
  }

  // The line is back, or was never away: what could not be fetched is tried again.
  wake() {
    loadForms().then(this.paint).catch(pass);
    if (this.#id !== null && !this.#els.trouble.hidden) this.#fetch(this.#id).then((isThere) => isThere && this.open(this.#id));
  }

  // Whether the thread is there and still wanted: another one may have been opened meanwhile.
  async #fetch(id) {
    this.#els.log.ariaBusy = "true";
    const isThere = await this.#load(id);
    if (this.#id !== id) return false;
    this.#els.log.ariaBusy = "false";
    this.#els.trouble.hidden = isThere;
    clearTimeout(this.#again);
    if (!isThere) this.#again = setTimeout(() => this.wake(), AGAIN_MS);
    return isThere;
  }

  // `before`: the oldest message held, or nothing for the newest page. Whether it could be had.
  async #load(id, before) {
    const { api, reads, store } = this.#app;
    const page = { limit: PAGE, before };
    return Boolean(await reads.run(() => api.thread(id, page), ({ data }) => store.loadThread(data, PAGE)).catch(pass));
  }

  // One run at a time; whoever asks meanwhile waits for the same one.
  #loadOlder() {
    if (this.#from(this.#app.store.messages(this.#id)) > 0) return this.#showMore();
    return (this.#loading ??= this.#fetchOlder().finally(() => (this.#loading = null)));
  }

  async #fetchOlder() {
    const { store } = this.#app;
    const id = this.#id;
    if (!store.hasOlder(id)) return;
    this.#els.log.ariaBusy = "true";
    const isThere = await this.#load(id, store.messages(id)[0]?.id); // without a line scrolling asks again
    if (this.#id !== id) return;
    if (isThere) this.#showMore();
    this.#els.log.ariaBusy = "false";
  }

  #showMore() {
    const { log } = this.#els;
    const messages = this.#app.store.messages(this.#id);
    this.#fromId = messages[Math.max(0, this.#from(messages) - PAGE)]?.id ?? null;
    const fromEnd = log.scrollHeight - log.scrollTop;
    this.#paint();
    log.scrollTop = log.scrollHeight - fromEnd;
  }

  #paint() {
    const { store, i18n, view } = this.#app;
    const conversation = store.conversation(this.#id);
    this.#els.empty.hidden = view.openId !== null;
    this.#els.pane.hidden = conversation === null;
    if (!conversation) return;
    this.#fillHead(conversation);
    this.#placeDivider();
    const items = arrange(this.#items(), this.#firstNewId, i18n, conversation);
    this.#countUnseen(items);
    reconcile(this.#els.items, "t-message", items, {
      key: ({ message }) => messageKey(message),
      update: (node, item) => fillMessage(node, item, i18n),
    });
    this.#els.older.hidden = !store.hasOlder(this.#id) && this.#from(store.messages(this.#id)) === 0;
    if (this.#isStuck) this.toEnd();
  }

  #items() {
    const { store, outbox, agent } = this.#app;
    const messages = store.messages(this.#id);
    const arrived = new Set(messages.map(({ clientId }) => clientId));
    const pending = outbox.of(this.#id).filter(({ clientId }) => !arrived.has(clientId)).map((entry) => pendingMessage(entry, agent.name));
    const from = this.#from(messages);
    this.#fromId = messages[from]?.id ?? null;
    return [...messages.slice(from), ...pending];
  }

  // Where the shown part begins. It only grows while somebody reads in it: nothing is taken away above them.
  #from(messages) {
    const held = messages.findIndex(({ id }) => id === this.#fromId);
    const from = held < 0 ? messages.length - PAGE : held;
    return Math.max(0, this.#isStuck ? Math.max(from, messages.length - SHOWN_MAX) : from);
  }

  #fillHead(conversation) {
    const { id, contact, status } = conversation;
    const { i18n, sender } = this.#app;
    sender.show(conversation.goneAt ? null : conversation.integrationId);
    const { head } = this.#els;
    const name = i18n.nameOf(conversation);
    fillAvatar(slot(head, "avatar"), id, name);
    const details = [contact?.phone, !isGroup(conversation) && contact?.email].filter(Boolean).join(" · ");
    setAttrs(head, { "data-status": status });
    const { text: window, isClosed, left } = i18n.replyWindow(conversation);
    clearTimeout(this.#closing);
    if (left) this.#closing = setTimeout(this.paint, left);
    this.onWindow();
    setAttrs(slot(this.#els.pane, "window"), { "data-closed": isClosed });
    fillSlots(this.#els.pane, {
      name, window, contact: details || i18n.t(`status.${status}`), toggle: i18n.t(status === "Open" ? "thread.close" : "thread.reopen"),
    });
    forms?.fillHeadMarks(head, conversation, i18n);
  }

  // What arrives while the agent looks elsewhere is new when they come back; and what stands above messages that were there already.
  #placeDivider() {
    const { store } = this.#app;
    const unread = store.unread(this.#id) ?? 0;
    if (!unread) return;
    const messages = store.messages(this.#id);
    const first = firstNew(messages, unread);
    const place = (isWanted) => messages.findIndex(isWanted);
    const last = place((message) => messageKey(message) === this.#lastKey); // -1: a reply that is not stored stands below all
    if (document.hidden || !this.#isStuck || last < 0 || place(({ id }) => id === first) < last) this.#firstNewId = first;
  }

  #countUnseen(items) {
    const last = items.at(-1);
    const key = last && messageKey(last.message);
    if (this.#lastKey !== null && !this.#isStuck && key !== this.#lastKey) {
      const known = items.findIndex(({ message }) => messageKey(message) === this.#lastKey);
      this.#unseen += items.length - 1 - known;
    }
    this.#lastKey = key ?? null;
    setText(this.#els.pill, this.#app.i18n.t("thread.unseen", { n: this.#unseen }));
    this.#els.pill.hidden = this.#unseen === 0;
  }

  toEnd() {
    const { log } = this.#els;
    log.scrollTop = log.scrollHeight;
    this.#isStuck = true;
    this.#unseen = 0;
    this.#els.pill.hidden = true;
    this.#markRead();
  }

  #onScroll() {
    const { log } = this.#els;
    this.#isStuck = log.scrollHeight - log.scrollTop - log.clientHeight <= STICK_PX;
    if (this.#isStuck && this.#unseen) this.toEnd();
    if (log.scrollTop < 200) this.#loadOlder();
  }

  // Read is what was on the screen: the tab is visible and the end of the log is in sight.
  async #markRead() {
    const { api, reads, store } = this.#app;
    const id = this.#id;
    const last = store.messages(id).at(-1);
    if (!last || document.hidden || !this.#isStuck) return;
    const came = store.lastCame(id);
    if (came !== this.#inSight.at(-1)?.[1]) this.#inSight.push([performance.now(), came]);
    if (!store.unread(id)) return;
    // The list may know of a message that is not here yet: what the server did not take for read is told once more then, not for ever.
    const told = [store.life, id, last.id, store.conversation(id).inboundCount].join();
    if (told === this.#told) return;
    this.#told = told;
    const settle = store.markRead(id);
    const tell = () => api.markRead(id, last.id).catch(async (error) => {
      if (error.kind !== "offline" && error.kind !== "server") throw error;
      await new Promise((done) => setTimeout(done, TELL_AGAIN_MS));
      return tell();
    });
    await reads.take(tell(), (conversation) => store.load([conversation])).catch(pass);
    settle();
  }

  // The number of the last message that whoever looks at this page can have read: not of what came just now, or lies out of sight.
  // 1, which is before all of them, where there is none.
  get lastRead() {
    return this.#inSight.findLast(([at]) => at <= performance.now() - READ_MS)?.[1] ?? 1;
  }

  #onAction(event) {
    const { target } = event;
    const quote = target.closest("[data-quote]");
    if (quote) {
      event.preventDefault();
      return this.#goToQuoted(Number(quote.dataset.quote));
    }
    const button = target.closest("[data-act]");
    const key = button?.closest("[data-key]").dataset.key;
    const message = this.#items().find((item) => messageKey(item) === key);
    if (!message) return; // sent or taken back in another tab, before this one has painted it
    const { act } = button.dataset;
    // at once, and also without a line: in a moment it is on its way
    if (message.id === null && act === "edit") this.onEdit(this.#app.outbox.discard(message.clientId));
    else this.#app.acts((it) => it.onMessage(act, message));
  }

  // Set by the composer: a reply taken back goes into the text field again.
  onEdit = () => {};
  // Set by the composer: whether the customer can be answered may have changed.
  onWindow = () => {};
}

// A reply on its way, in the shape of a message.
function pendingMessage({ clientId, conversationId, content, createdAt, isPrivate, state, error, names, progress }, senderName) {
  return { id: null, clientId, conversationId, senderType: "agent", senderName, content, createdAt, private: isPrivate,
    deleted: false, attachments: names.map((name) => ({ name })), progress, deliveryState: state, deliveryError: error };
}
