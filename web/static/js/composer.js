// Writing replies, and notes among colleagues: two modes, each with its own draft in each conversation. The tab that is chosen says which one
// the field holds, and so do its label, its placeholder, its colour and the button.
// Never disabled: without a line they wait in the outbox.

import { lazily, pass } from "./api.js";
import { debounce, find, setAttrs, setText } from "./dom.js";
import { dropFiles, hearFiles, hearKept, keepFiles, readFiles, tellKept } from "./uploads.js";

export class Composer {
  #form = find("#composer");
  #field = find("#reply");
  #answer = find("#answer");
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
    const modes = find(".modes", this.#form);
    modes.addEventListener("change", () => {
      this.turnTo(this.#note.checked);
      if (!find(":focus-visible", modes)) this.focus(); // arrow keys stay with the tabs
    });
    // It would send what the tab just brought into sight.
    modes.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.focus();
    });
    hearKept((key) => this.#files.has(key) && this.#loadFiles(key));
    addEventListener("storage", () => this.#follow());
    app.thread.onEdit = (entry, isQuiet) => entry && this.#takeBack(entry, isQuiet);
    app.thread.onWindow = () => this.#showWindow();
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

  // Text, files and quote of the other mode stay where they are.
  turnTo(isNote) {
    this.save();
    if (this.#id !== null && isNote !== this.#isNote) this.#show(isNote);
  }

  // Always to write a reply: nobody expects the mode of another conversation.
  open(id) {
    const early = this.#id === null && this.#field.value; // typed while this script was on its way
    const isPrivate = this.#note.checked;
    this.save();
    this.#id = id;
    this.#form.action = `/inbox/c/${id}/reply`;
    this.#show(false);
    if (early) this.#takeBack({ conversationId: id, content: early, isPrivate }, true);
  }

  // Out of the browser's cache: other pages may have sent meanwhile what is here.
  restore() {
    for (const key of this.#files.keys()) this.#loadFiles(key);
    if (this.#id !== null) this.open(this.#id);
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
    this.#isNote = isNote;
    (isNote ? this.#note : this.#answer).checked = true;
    this.#field.value = this.#saved = drafts.get(this.#id, isNote);
    this.#canned?.offer();
    setAttrs(this.#form, { "data-note": isNote });
    this.#field.placeholder = t(isNote ? "composer.notePlaceholder" : "composer.placeholder");
    setText(find("[for=reply]", this.#form), t(isNote ? "composer.note" : "composer.label"));
    setText(find(".primary", this.#form), t(isNote ? "composer.addNote" : "composer.send"));
    this.#showExtras();
    for (const kind of [false, true]) {
      const key = drafts.key(this.#id, kind);
      if (!this.#files.has(key)) this.#loadFiles(key);
    }
    this.#mark();
    this.#showWindow();
  }

  // Why the customer cannot be answered now; nothing where they can, and for a note.
  get #closedFor() {
    const { store, i18n } = this.#app;
    const { isClosed, text } = i18n.replyWindow((!this.#isNote && store.conversation(this.#id)) || {});
    return isClosed && text;
  }

  #showWindow() {
    const isClosed = Boolean(this.#closedFor);
    find(".primary", this.#form).disabled = isClosed;
    this.#field.readOnly = isClosed && !this.#field.value; // what is written already can be mended, and copied to a note
  }

  // The tab that is not chosen says whether something waits behind it.
  #mark() {
    if (this.#id === null) return;
    const { t } = this.#app.i18n;
    setText(this.#answer.nextElementSibling, t(this.#waits(false) ? "composer.labelDraft" : "composer.label"));
    setText(this.#note.nextElementSibling, t(this.#waits(true) ? "composer.noteDraft" : "composer.note"));
  }

  #waits(isNote) {
    const { drafts } = this.#app;
    if (isNote === this.#isNote) return false;
    return drafts.get(this.#id, isNote) || this.#files.get(drafts.key(this.#id, isNote))?.length || (!isNote && drafts.extras(this.#id).quote);
  }

  // What this browser keeps: a page before this one left it, or another tab has changed it.
  async #loadFiles(key) {
    const isFirst = !this.#files.has(key);
    const held = this.#files.get(key) ?? [];
    this.#files.set(key, held);
    const kept = (await readFiles(key)) ?? [];
    const chosen = this.#files.get(key);
    if (chosen === held) this.#holdFiles(key, kept);
    else if (isFirst && kept.length) this.#keepFiles(key, [...kept, ...chosen]);
  }

  #keepFiles(key, files) {
    (files.length ? keepFiles(key, files) : dropFiles(key)).then(() => tellKept(key));
    this.#holdFiles(key, files);
  }

  #holdFiles(key, files) {
    this.#files.set(key, files);
    this.#mark();
    if (key !== this.#key) return;
    if (this.#extras) this.#extras.showFiles(files);
    else if (files.length) this.loadExtras().catch(pass); // shows them
  }

  // Another tab wrote, sent or threw away a draft. What is being typed here stays.
  #follow() {
    this.#mark();
    if (this.#id === null || this.#field.value !== this.#saved) return;
    this.#field.value = this.#saved = this.#app.drafts.get(this.#id, this.#isNote);
  }

  #complain(key = "composer.full", text = this.#app.i18n.t(key)) {
    this.#field.setCustomValidity(text);
    this.#field.reportValidity();
  }

  #send() {
    const content = this.#field.value.trim();
    const { drafts, outbox, thread, preferences } = this.#app;
    this.#field.setCustomValidity("");
    if (this.#id === null) return;
    const { files } = this;
    if (!content && !files.length) return outbox.release(this.#id); // Enter again: what can still be taken back goes now
    const closedFor = this.#closedFor;
    if (closedFor) return this.#complain("", closedFor);
    if (!this.#extras && (files.length || this.#hasWish())) return void this.#sendOnceLoaded();
    const wish = this.#extras ? this.#extras.wish() : {};
    if (!wish) return;
    const extras = this.#isNote ? {} : drafts.extras(this.#id);
    const lastSeenMessageId = this.#isNote ? null : thread.lastRead; // the customer does not see a note
    const written = { conversationId: this.#id, content, isPrivate: this.#isNote, lastSeenMessageId, files, wish, extras };
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

  // What was there when Enter was pressed, as what it was typed as, also where the other tab is in sight by then; or nothing: another
  // conversation may be open, or the text another.
  async #sendOnceLoaded() {
    const [id, isNote, text] = [this.#id, this.#isNote, this.#field.value];
    const extras = await this.loadExtras().catch(pass);
    if (id !== this.#id) return;
    const inSight = this.#isNote;
    this.turnTo(isNote);
    if (text === this.#field.value) extras ? this.#send() : this.#complain("error.unknown");
    this.turnTo(inSight);
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
    if (!event.repeat) this.#send(); // held down it is one Enter
  }

  // Back to where it came from: a note to the notes. `isQuiet`: nobody asked for it, so a note that is being written stays.
  async #takeBack({ conversationId, content, isPrivate, files, extras }, isQuiet) {
    const { drafts } = this.#app;
    this.save();
    drafts.set(conversationId, isPrivate, [content, drafts.get(conversationId, isPrivate)].filter(Boolean).join("\n"));
    if (!isPrivate) drafts.setExtras(conversationId, { ...extras, ...drafts.extras(conversationId) });
    const isShown = conversationId === this.#id && !(isQuiet && this.#isNote);
    if (isShown) this.#show(isPrivate);
    else this.#mark();
    if (isShown && !isQuiet) this.focus();
    const key = drafts.key(conversationId, isPrivate);
    const given = await files;
    if (given?.length) this.#keepFiles(key, [...given, ...(this.#files.get(key) ?? (await readFiles(key)) ?? [])]);
  }
}
