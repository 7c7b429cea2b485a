// What goes with a reply besides its text: files, the message that it quotes, and people in copy of an e-mail. Chosen per conversation,
// and kept by the browser until the reply is sent. A note has files and nothing else.

import { clone, fillList, fillSlots, find, setText } from "../dom.js";
import { addresses, isMail, recipients, wrongOf } from "./copies.js";
import { joinDrafts } from "./joining.js";
import { mayBeQuoted, quoteOf } from "./quoting.js";
import { sorted } from "./upload-limits.js";

const EMAIL = "Channel::Email";

export class Extras {
  #app;
  #composer;
  #form = find("#composer");
  #chosen = find("#chosen");
  #refused = clone("t-refused");
  #quote = clone("t-quoting");
  #copies = clone("t-copies");
  #id = null;
  #isNote = false;

  // `composer`: {files, onFiles(files), turnTo(isNote)}
  constructor(app, composer) {
    this.#app = app;
    this.#composer = composer;
    find("#canned").before(this.#quote, this.#copies);
    this.#chosen.after(this.#refused);
    this.#chosen.addEventListener("click", ({ target }) => {
      if (target.matches("button")) this.#removeFile([...this.#chosen.children].indexOf(target.parentNode));
    });
    find("button", this.#quote).addEventListener("click", () => {
      this.#keep({ quote: undefined });
      this.#show();
      find("#reply").focus();
    });
    this.#copies.addEventListener("input", ({ target }) => {
      target.setCustomValidity("");
      this.#keep({ [target.name]: target.value });
    });
    this.#copies.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.matches("input")) event.preventDefault(); // an address is not the reply
    });
    addEventListener("storage", () => this.#id !== null && this.#show()); // another tab may have changed them
    joinDrafts(() => this.#app.drafts.key(this.#id, this.#isNote));
    const items = find("#messages");
    new MutationObserver(() => this.#offer()).observe(items, { childList: true, subtree: true, attributeFilter: ["data-state", "id"] });
    items.addEventListener("click", ({ target }) => target.matches(".reply-to") && this.#answer(target.closest("li")));
  }

  // Another conversation, or the other kind.
  show(id, isNote) {
    this.#id = id;
    this.#isNote = isNote;
    this.#refused.hidden = true;
    this.#show();
    this.#offer();
  }

  get #channel() {
    return this.#app.store.conversation(this.#id)?.channel;
  }

  get #kept() {
    return this.#app.drafts.extras(this.#id);
  }

  get #presentQuote() {
    const { quote } = this.#kept;
    return quote && mayStill(this.#app.store.messages(this.#id), quote, this.#channel) ? quote : null;
  }

  #keep(changed) {
    this.#app.drafts.setExtras(this.#id, { ...this.#kept, ...changed });
  }

  // -- files --

  addFiles(files) {
    const { i18n, limits } = this.#app;
    const before = this.#composer.files.filter((file) => !files.includes(file)); // chosen while this module came, they are held already
    const { taken, refused } = sorted(before, files, this.#isNote ? null : this.#channel, limits);
    this.#composer.onFiles(taken);
    setText(this.#refused, refused.map(({ key, values }) => i18n.t(key, values)).join("\n"));
    this.#refused.hidden = refused.length === 0;
  }

  // Whoever removes several goes on where they are.
  #removeFile(index) {
    this.#composer.onFiles(this.#composer.files.toSpliced(index, 1));
    const next = this.#chosen.children[index] ?? this.#chosen.lastElementChild;
    (next ? find("button", next) : find("#reply")).focus();
  }

  showFiles(files) {
    fillList(this.#chosen, "t-chosen", files, (node, { name }) => {
      fillSlots(node, { name });
      find("button", node).ariaLabel = this.#app.i18n.t("composer.remove", { name });
    });
  }

  // -- what a reply asks for --

  // {} for a note. null: an address is none, which its field says.
  wish() {
    if (this.#isNote) return {};
    const quote = this.#presentQuote;
    const found = quote ? { inReplyTo: quote.id } : {};
    if (this.#channel !== EMAIL) return found;
    if (this.#isUnknown()) return this.#refuse("copies.unknown");
    for (const [name, text] of Object.entries(this.#written())) {
      const list = addresses(text);
      const wrong = wrongOf(list);
      if (wrong) return this.#complain(name, wrong);
      if (list.length) found[name] = list;
    }
    return found;
  }

  // Whether the mail that says who gets a copy is not here: the conversation is loading, or the mail stands further up.
  #isUnknown() {
    const { store } = this.#app;
    const messages = store.messages(this.#id);
    return this.#kept.cc === undefined && (!store.hasThread(this.#id) || (!messages.some(isMail) && store.hasOlder(this.#id)));
  }

  // The reply is on its way.
  clear() {
    if (this.#isNote) return;
    this.#refused.hidden = true;
    this.#app.drafts.setExtras(this.#id, {});
    this.#show();
  }

  #written() {
    const { store, own } = this.#app;
    const { cc, bcc } = this.#kept;
    const found = recipients(store.messages(this.#id), store.conversation(this.#id)?.contact?.email, own);
    return { cc: cc ?? found.cc.join(", "), bcc: bcc ?? found.bcc.join(", ") };
  }

  #refuse(...lines) {
    setText(this.#refused, lines.map((key) => this.#app.i18n.t(key)).join("\n"));
    this.#refused.hidden = false;
    return null;
  }

  #complain(name, wrong) {
    const field = this.#copies.querySelector(`[name=${name}]`);
    this.#copies.open = true;
    field.setCustomValidity(this.#app.i18n.t("copies.wrong", { address: wrong }));
    field.reportValidity();
    return null;
  }

  #show() {
    const { i18n, store, own } = this.#app;
    const quote = this.#presentQuote;
    this.#quote.hidden = this.#isNote || !quote;
    if (quote) fillSlots(this.#quote, { name: quote.name, text: quote.text || i18n.t("bubble.quote") });
    this.#copies.hidden = this.#isNote || this.#channel !== EMAIL;
    if (this.#copies.hidden) return;
    const written = this.#written();
    const { to } = recipients(store.messages(this.#id), store.conversation(this.#id)?.contact?.email, own);
    for (const [name, text] of Object.entries(written)) {
      const field = this.#copies.querySelector(`[name=${name}]`);
      if (field.value !== text) field.value = text; // writing moves the caret
    }
    const cc = addresses(written.cc);
    fillSlots(this.#copies, { summary: i18n.t(cc.length ? "copies.toAndCc" : "copies.to", { to, cc: cc.join(", ") }) });
  }

  // -- the button on each message that can be quoted --

  #offer() {
    if (this.#id === null) return;
    const { store, i18n } = this.#app;
    const channel = this.#channel;
    const known = new Map(store.messages(this.#id).map((message) => [`m${message.id}`, message]));
    for (const item of find("#messages").children) {
      const message = known.get(item.id);
      const button = item.querySelector(".reply-to");
      const isOffered = Boolean(message && mayBeQuoted(message, channel));
      if (!isOffered) button?.remove();
      else if (!button) {
        const made = clone("t-reply-to");
        made.ariaLabel = made.title = i18n.t("quote.reply");
        find(".bubble", item).append(made);
      }
    }
    this.#show(); // a new mail may have come, or what is quoted may be gone
  }

  #answer(item) {
    const message = this.#app.store.messages(this.#id).find(({ id }) => `m${id}` === item.id);
    if (!message) return;
    this.#keep({ quote: quoteOf(message, this.#app.i18n) });
    this.#composer.turnTo(false);
    this.#show();
    find("#reply").focus();
  }
}

// Deleted meanwhile: the reply goes without its quote. Further back than what the page has: as it was.
function mayStill(messages, quote, channel) {
  const message = messages.find(({ id }) => id === quote.id);
  return !message || mayBeQuoted(message, channel);
}
