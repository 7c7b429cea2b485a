// Canned replies of the company, offered below the text field while it holds nothing but "/" and a word.

import { pass } from "../api.js";
import { find } from "../dom.js";
import { fold } from "../list.js";
import { Options } from "./options.js";

const CANNED_MAX = 8;

export class Canned {
  #field;
  #api;
  #replies = null; // fetched with each "/" that begins a text: no event tells when they change
  #options;

  // `write(text)` puts the chosen one into the field.
  constructor(field, api, write) {
    this.#field = field;
    this.#api = api;
    this.#options = new Options(field, find("#canned"), ({ content }) => write(content));
    field.addEventListener("blur", () => this.#options.show([]));
  }

  // undefined: no canned reply is asked for.
  get #typed() {
    return /^\/(\S*)$/.exec(this.#field.value)?.[1];
  }

  // By shortcut first.
  async offer() {
    if (this.#typed === undefined) return this.#options.show([]);
    // without a line those of before are offered, and the next letter asks again
    if (this.#typed === "" || !this.#replies) this.#replies = (await this.#api.cannedReplies().catch(pass)) ?? this.#replies;
    const text = fold(this.#typed ?? "");
    const rank = ({ shortcut, content }) => [fold(shortcut).startsWith(text), fold(`${shortcut} ${content}`).includes(text)].indexOf(true);
    const found = this.#typed === undefined ? [] : (this.#replies ?? []).filter((one) => rank(one) >= 0).sort((a, b) => rank(a) - rank(b));
    this.#options.show(found.slice(0, CANNED_MAX).map(({ shortcut, content }) => ({ label: `/${shortcut}`, hint: content, content })));
  }

  // Whether the key was one of the list's.
  onKey(event) {
    return this.#options.onKey(event);
  }
}
