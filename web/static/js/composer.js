// Writing replies, and notes among colleagues: two drafts of each conversation, of which the field shows one and says which.
// Never disabled: without a line they wait in the outbox.

import { lazily, pass } from "./api.js";
import { debounce, find, setAttrs, setText } from "./dom.js";
import { dropFiles, hearFiles, keepFiles, readFiles } from "./uploads.js";

export class Composer {
  #form = find("#composer");
  #field = find("#reply");
  #note = find("#note");
  #app;
  #id = null;
  #isNote = false;
  #saved = ""; // the text of this draft, as other tabs know it
  #canned = null; // once it is needed
  #extras = null; // files, a quote, people in copy: once they are needed
  #files = new Map(); // key of a draft -> its files
  #saveSoon = debounce(() => this.save(), 300);

  // `app`: {api, store, outbox, drafts, thread, preferences}
  constructor(app) {
    this.#app = app;
    hearFiles(this.#form, (files) => this.#takeFiles(files));
    // A long draft that was found here unfolds when somebody goes on with it, and not under their eyes.
    this.#form.dataset.held = "";
    this.#field.addEventListener("focus", () => this.#form.removeAttribute("data-held"));
    this.#field.required = false; // files alone are a reply too
    this.#form.noValidate = true; // what the field complains of does not stop the next try
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#field.addEventListener("keydown", (event) => this.#onKey(event));
    this.#field.addEventListener("input", () => {
      this.#saveSoon();
      this.#offerCanned();
    });
    this.#note.addEventListener("change", () => {
      this.save();
      this.#show(this.#note.checked);
    });
    addEventListener("storage", () => this.#follow());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#id !== null && this.open(this.#id));
    app.thread.onEdit = (entry) => entry && this.#takeBack(entry);
  }

  loadCanned = lazily(async () => {
    const { Canned } = await import("./later/canned.js");
    return (this.#canned = new Canned(this.#field, this.#app.api, (text) => this.#write(text)));
  });

  loadExtras = lazily(async () => {
    const { Extras } = await import("./later/extras.js");
    this.#extras = new Extras(this.#app, this);
    if (this.#id !== null) this.#showExtras();
    return this.#extras;
  });

  #showExtras() {
    this.#extras?.show(this.#id, this.#isNote);
    this.#extras?.showFiles(this.files);
  }

  get files() {
    return this.#files.get(this.#key) ?? [];
  }

  // They belong where they were chosen, also if another conversation is open once their module is there; and are kept if it cannot be had.
  async #takeFiles(files) {
    const key = this.#key;
    if (!this.#extras) this.#keepFiles(key, [...this.files, ...files]);
    const extras = await this.loadExtras().catch(pass);
    if (!extras) return this.#complain("error.unknown");
    if (key === this.#key) extras.addFiles(files);
  }

  onFiles(files) {
    this.#keepFiles(this.#key, files);
  }

  toReply() {
    this.save();
    if (this.#isNote) this.#show(false);
  }

  // Always to write a reply: nobody expects what was ticked elsewhere.
  open(id) {
    this.save();
    this.#id = id;
    this.#form.action = `/inbox/c/${id}/reply`;
    this.#show(false);
  }

  focus() {
    this.#field.focus();
  }

  save() {
    const text = this.#field.value;
    if (this.#id === null || text === this.#saved) return;
    this.#saved = text;
    if (!this.#app.drafts.set(this.#id, this.#isNote, text)) this.#complain();
  }

  get #key() {
    return this.#app.drafts.key(this.#id, this.#isNote);
  }

  // The one place where the field changes what it is for: the text, the files and all that says which it is.
  #show(isNote) {
    const { drafts, i18n: { t } } = this.#app;
    this.#isNote = this.#note.checked = isNote;
    this.#field.value = this.#saved = drafts.get(this.#id, isNote);
    this.#canned?.offer();
    setAttrs(this.#form, { "data-note": isNote });
    this.#field.placeholder = t(isNote ? "composer.notePlaceholder" : "composer.placeholder");
    setText(find("[for=reply]", this.#form), t(isNote ? "composer.note" : "composer.label"));
    setText(find(".primary", this.#form), t(isNote ? "composer.addNote" : "composer.send"));
    setText(this.#note.nextSibling, t(isNote || !drafts.get(this.#id, true) ? "composer.note" : "composer.noteDraft"));
    this.#showFiles(this.#key);
  }

  async #showFiles(key) {
    this.#showExtras();
    if (this.#files.has(key)) return;
    this.#files.set(key, []);
    const kept = await readFiles(key); // what a page before this one left
    if (kept?.length) this.#keepFiles(key, [...kept, ...this.#files.get(key)]);
  }

  #keepFiles(key, files) {
    this.#files.set(key, files);
    if (files.length) keepFiles(key, files);
    else dropFiles(key);
    if (key !== this.#key) return;
    if (this.#extras) this.#extras.showFiles(files);
    else this.loadExtras().catch(pass); // shows them
  }

  // Another tab wrote, sent or threw away this draft. What is being typed here stays.
  #follow() {
    if (this.#id === null || this.#field.value !== this.#saved) return;
    this.#field.value = this.#saved = this.#app.drafts.get(this.#id, this.#isNote);
  }

  #complain(key = "composer.full") {
    this.#field.setCustomValidity(this.#app.i18n.t(key));
    this.#field.reportValidity();
  }

  #send() {
    const content = this.#field.value.trim();
    const { drafts, store, outbox, thread, preferences } = this.#app;
    this.#field.setCustomValidity("");
    if (this.#id === null) return;
    const { files } = this;
    if (!content && !files.length) return outbox.release(this.#id); // Enter again: what can still be taken back goes now
    if (!this.#extras && (files.length || this.#hasWish())) return void this.#sendOnceLoaded();
    const wish = this.#extras ? this.#extras.wish() : {};
    if (!wish) return;
    const extras = this.#isNote ? {} : drafts.extras(this.#id);
    const written = { conversationId: this.#id, content, isPrivate: this.#isNote, lastSeenMessageId: store.lastCame(this.#id), files, wish, extras };
    if (!outbox.add(written, preferences.undoSeconds * 1_000)) return this.#complain();
    if (files.length) this.#keepFiles(this.#key, []);
    this.#extras?.clear();
    this.#write("");
    thread.toEnd();
  }

  // Whether more than text and files may go with it: people in copy, or a quote.
  #hasWish() {
    const { drafts, store } = this.#app;
    return !this.#isNote && (store.conversation(this.#id)?.channel === "Channel::Email" || Boolean(drafts.extras(this.#id).quote));
  }

  // What was there when Enter was pressed, or nothing: by then another conversation may be open, or a note, or another text.
  async #sendOnceLoaded() {
    const key = this.#key;
    const text = this.#field.value;
    const extras = await this.loadExtras().catch(pass);
    if (key !== this.#key || text !== this.#field.value) return;
    if (extras) this.#send();
    else this.#complain("error.unknown");
  }

  #write(text) {
    this.#field.value = text;
    this.#field.dispatchEvent(new Event("input"));
    this.save();
    this.focus();
  }

  // A text that begins with "/" looks for a canned reply.
  async #offerCanned() {
    if (this.#canned || this.#field.value.startsWith("/")) await (await this.loadCanned().catch(pass))?.offer();
  }

  // Enter also ends the choice of an input method (229 in browsers that report the key after composing), and a
  // phone's keyboard has no other way to a new line.
  #onKey(event) {
    const isComposing = event.isComposing || event.keyCode === 229;
    if (!isComposing && this.#canned?.onKey(event)) return;
    if (event.key === "Escape" && !isComposing) find("#log").focus(); // single keys work from there
    if (event.key !== "Enter" || event.shiftKey || isComposing || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    this.#send();
  }

  // Back to where it came from: a note to the notes.
  async #takeBack({ conversationId, content, isPrivate, files, extras }) {
    const { drafts } = this.#app;
    this.save();
    drafts.set(conversationId, isPrivate, [content, drafts.get(conversationId, isPrivate)].filter(Boolean).join("\n"));
    if (!isPrivate) drafts.setExtras(conversationId, extras ?? {});
    const isOpen = conversationId === this.#id;
    if (isOpen) this.#show(isPrivate);
    if (isOpen) this.focus();
    const key = drafts.key(conversationId, isPrivate);
    const given = await files;
    if (given?.length) this.#keepFiles(key, [...given, ...(this.#files.get(key) ?? (await readFiles(key)) ?? [])]);
  }
}
