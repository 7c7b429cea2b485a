// A list of choices below a text field, chosen with arrows and Enter while the focus stays in the field (the ARIA
// combobox pattern). The command palette and the canned replies are both of this kind.

import { fillList, fillSlots, find, setAttrs } from "./dom.js";
import { fold } from "./list.js";

const CONVERSATIONS_MAX = 8;

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

// Ctrl+K or Cmd+K: any conversation by name, any view and action, without leaving the keyboard.
// `app`: {store, i18n}; `go(view)` opens; actions are what the page's own links and buttons do.
export function bindPalette({ store, i18n }, go) {
  const dialog = find("#palette");
  const field = find("input", dialog);
  const options = new Options(field, find("#palette-options"), ({ run }) => {
    dialog.close();
    run();
  });
  const search = () => options.show(found(field.value.trim()));

  function found(text) {
    const has = (label) => fold(label).includes(fold(text));
    const people = text === "" ? [] : store.conversations().filter((conversation) => has(i18n.nameOf(conversation)));
    return [
      ...people.slice(0, CONVERSATIONS_MAX).map((conversation) =>
        ({ label: i18n.nameOf(conversation), hint: conversation.preview?.content, run: () => go({ openId: conversation.id }) })),
      ...actions().filter(({ label }) => has(label)),
      ...(text ? [{ label: i18n.t("palette.search", { text }), run: () => go({ q: text, openId: null }) }] : []),
    ];
  }

  // Whatever can be clicked now, called what it is called there.
  const actions = () => [...document.querySelectorAll("a[data-view], #toggle, .menu-body > a, .menu-body button")]
    .filter((node) => node.closest(".menu") || node.checkVisibility())
    .map((node) => ({ label: node.firstChild.data.trim(), hint: node.id === "toggle" && find("#thread-name").textContent, run: () => node.click() }));

  field.addEventListener("input", search);
  field.addEventListener("keydown", (event) => event.key !== "Escape" && options.onKey(event));
  document.addEventListener("keydown", (event) => {
    if (event.code !== "KeyK" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (dialog.open) return;
    field.value = "";
    dialog.showModal();
    search();
  });
}
