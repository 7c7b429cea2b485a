// A list of choices below a text field, chosen with arrows and Enter while the focus stays in the field (the ARIA
// combobox pattern). The command palette and the canned replies are both of this kind.

import { fillList, fillSlots, setAttrs } from "../dom.js";

export class Options {
  #field;
  #list;
  #items = [];
  #active = 0;
  #onPick;

  // `onPick(item)`: one was chosen. Items: {label, hint?, ...}.
  constructor(field, list, onPick) {
    this.#field = field;
    this.#list = list;
    this.#onPick = onPick;
    list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
    list.addEventListener("click", ({ target }) => this.#pick([...list.children].indexOf(target.closest("li"))));
  }

  show(items) {
    this.#items = items;
    fillList(this.#list, "t-option", items, (node, { label, hint }, index) => {
      node.id = `${this.#list.id}-${index}`;
      fillSlots(node, { label, hint });
    });
    this.#point(0);
  }

  // Whether the key was one of ours.
  onKey(event) {
    if (this.#list.hidden || event.isComposing) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.#point((this.#active + step + this.#items.length) % this.#items.length);
    else if (event.key === "Enter" || event.key === "Tab") this.#pick(this.#active);
    else if (event.key === "Escape") this.show([]);
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  #point(index) {
    this.#active = index;
    for (const [at, node] of [...this.#list.children].entries()) node.ariaSelected = String(at === index);
    this.#list.children[index]?.scrollIntoView({ block: "nearest" });
    setAttrs(this.#field, { "aria-activedescendant": this.#list.children[index]?.id });
  }

  #pick(index) {
    const item = this.#items[index];
    if (!item) return;
    this.show([]);
    this.#onPick(item);
  }
}
