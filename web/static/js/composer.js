// Writing a reply: drafts, Enter, notes. Never disabled: without a line the reply waits in the outbox.

import { lazily, pass } from "./api.js";
import { debounce, find } from "./dom.js";
import { Uploads } from "./uploads.js";

export class Composer {
  #form = find("#composer");
  #field = find("#reply");
  #note = find("#note");
  #app;
  #id = null;
  #canned = null; // once it is needed
  #uploads;
  #files = new Map(); // conversation id -> files chosen there and not sent yet
  #saveSoon = debounce(() => this.save(), 300);

  // `app`: {api, store, outbox, drafts, thread, preferences}
  constructor(app) {
    this.#app = app;
    this.#uploads = new Uploads(this.#form, app.i18n);
    // A long draft that was found here unfolds when somebody goes on with it, and not under their eyes.
    this.#form.dataset.held = "";
    this.#field.addEventListener("focus", () => this.#form.removeAttribute("data-held"));
    this.#field.required = false; // files alone are a reply too
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#field.addEventListener("keydown", (event) => this.#onKey(event));
    this.#field.addEventListener("input", () => {
      this.#saveSoon();
      this.#offerCanned();
    });
    this.#note.addEventListener("change", () => this.#form.toggleAttribute("data-note", this.#note.checked));
    app.thread.onEdit = (entry) => entry && this.#takeBack(entry);
  }

  loadCanned = lazily(async () => {
    const { Canned } = await import("./later/canned.js");
    return (this.#canned = new Canned(this.#field, this.#app.api, (text) => this.#write(text)));
  });

  open(id) {
    this.#files.set(this.#id, this.#uploads.take());
    this.#uploads.add(this.#files.get(id) ?? []);
    this.save();
    this.#id = id;
    this.#form.action = `/inbox/c/${id}/reply`;
    this.#field.value = this.#app.drafts.get(id);
  }

  focus() {
    this.#field.focus();
  }

  save() {
    if (this.#id === null) return;
    this.#app.drafts.set(this.#id, this.#field.value);
  }

  #send() {
    const content = this.#field.value.trim();
    const { store, outbox, thread, preferences } = this.#app;
    if (this.#id === null) return;
    if (!content && this.#uploads.isEmpty) return outbox.release(this.#id); // Enter again: what can still be taken back goes now
    const lastSeenMessageId = store.lastCame(this.#id);
    outbox.add({ conversationId: this.#id, content, isPrivate: this.#note.checked, lastSeenMessageId, files: this.#uploads.take() }, preferences.undoSeconds * 1_000);
    this.#write("");
    thread.toEnd();
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

  #takeBack({ conversationId, content, files }) {
    if (conversationId !== this.#id) return;
    if (files) this.#uploads.add(files);
    this.#write([content, this.#field.value].filter(Boolean).join("\n"));
  }
}
