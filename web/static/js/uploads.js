// Files of replies: chosen by the button, by paste, by drop; and kept by the browser until they are sent, so that they survive a
// reload as the reply's text does.

import { lazily } from "./api.js";
import { fillList, fillSlots, find } from "./dom.js";

export class Uploads {
  files = [];
  #list = find("#chosen");
  #i18n;
  #onChange;

  // `onChange(files)`: the agent has added or removed some.
  constructor(form, i18n, onChange) {
    this.#i18n = i18n;
    this.#onChange = onChange;
    const input = find("#attach");
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = ""; // the same file may be chosen again
    });
    form.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length === 0) return;
      event.preventDefault();
      this.add(event.clipboardData.files);
    });
    // A file dropped beside the form would replace the page.
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      if (find("#thread").contains(event.target)) this.add(event.dataTransfer.files);
    });
    this.#list.addEventListener("click", ({ target }) => {
      if (target.matches("button")) onChange(this.files.toSpliced([...this.#list.children].indexOf(target.parentNode), 1));
    });
  }

  add(files) {
    this.#onChange([...this.files, ...files]);
  }

  show(files) {
    this.files = files;
    fillList(this.#list, "t-chosen", files, (node, { name }) => {
      fillSlots(node, { name });
      find("button", node).ariaLabel = this.#i18n.t("composer.remove", { name });
    });
  }
}

// A browser that keeps nothing still sends what the page holds.
const load = lazily(() => import("./later/kept-files.js"));
const run = (mode, act) => load().then(({ inStore }) => inStore(mode, act)).catch(() => undefined);

export const keepFiles = (key, files) => run("readwrite", (store) => store.put(files, key));
export const readFiles = (key) => run("readonly", (store) => store.get(key));
export const dropFiles = (key) => run("readwrite", (store) => store.delete(key));
