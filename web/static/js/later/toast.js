// What came of an act: done, with a way back; or refused, with what to do about it. Shown for a while, and longer where it went wrong.

import { fillSlots, find } from "../dom.js";

const DONE_MS = 8_000;
const REFUSED_MS = 30_000;

export class Toast {
  #node = find("#toast");
  #button = find("#toast button");
  #timer = null;
  #act = null;
  #i18n;

  constructor(i18n) {
    this.#i18n = i18n;
    this.#button.addEventListener("click", () => this.act());
  }

  // -> the text
  done(text, undo) {
    return this.#show(text, "status.undo", undo, DONE_MS);
  }

  // In the agent's language: by the error's code, else by its kind (as ApiError has them). -> the text
  refused({ code, kind }, again) {
    const { has, t } = this.#i18n;
    const key = [`act.${code}`, `error.${code}`, `act.${kind}`].find(has) ?? "error.unknown";
    return this.#show(t(key), "thread.tryAgain", again, REFUSED_MS);
  }

  act() {
    if (this.#node.hidden) return;
    this.#node.hidden = true;
    this.#act();
  }

  #show(text, button, act, ms) {
    this.#act = act;
    fillSlots(this.#node, { text, act: this.#i18n.t(button) });
    this.#node.hidden = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#node.hidden = true), ms);
    return text;
  }
}
