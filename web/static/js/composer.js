// Writing a reply: drafts, Enter, notes. Never disabled: without a line the reply waits in the outbox.

import { debounce, find } from "./dom.js";

export class Composer {
  #form = find("#composer");
  #field = find("#reply");
  #note = find("#note");
  #app;
  #id = null;
  #saveSoon = debounce(() => this.save(), 300);

  // `app`: {store, outbox, drafts, thread, list}
  constructor(app) {
    this.#app = app;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#field.addEventListener("keydown", (event) => this.#onKey(event));
    this.#field.addEventListener("input", () => {
      this.#fit();
      this.#saveSoon();
    });
    this.#note.addEventListener("change", () => this.#form.toggleAttribute("data-note", this.#note.checked));
    app.thread.onEdit = (entry) => entry && this.#takeBack(entry);
  }

  open(id) {
    this.save();
    this.#id = id;
    this.#form.action = `/inbox/c/${id}/reply`;
    this.#field.value = this.#app.drafts.get(id);
    this.#fit();
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
    if (!content || this.#id === null) return;
    const { store, outbox, thread } = this.#app;
    const lastSeenMessageId = store.messages(this.#id)?.at(-1)?.id ?? null;
    outbox.add({ conversationId: this.#id, content, isPrivate: this.#note.checked, lastSeenMessageId });
    this.#field.value = "";
    this.save();
    this.#fit();
    thread.toEnd();
    this.focus();
  }

  // Enter also ends the choice of an input method (229 in browsers that report the key after composing), and a
  // phone's keyboard has no other way to a new line.
  #onKey(event) {
    const isComposing = event.isComposing || event.keyCode === 229;
    if (event.key === "Escape" && !isComposing) find("#log").focus(); // single keys work from there
    if (event.key !== "Enter" || event.shiftKey || isComposing || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    this.#send();
  }

  #takeBack({ conversationId, content }) {
    if (conversationId !== this.#id) return;
    this.#field.value = [content, this.#field.value].filter(Boolean).join("\n");
    this.#fit();
    this.save();
    this.focus();
  }

  #fit() {
    if (CSS.supports("field-sizing", "content")) return;
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight}px`;
  }
}
