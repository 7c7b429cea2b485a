// The command palette: any conversation by name, any view and action, without leaving the keyboard. Ctrl+K opens it (main.js).

import { find } from "../dom.js";
import { fold } from "../list.js";
import { Options } from "./options.js";

const CONVERSATIONS_MAX = 8;

// `app`: {store, i18n}; `go(view)` opens; actions are what the page's own links and buttons do.
// -> search(): offers what fits the text in the field.
export function bindPalette(dialog, { store, i18n }, go) {
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
        ({ label: i18n.nameOf(conversation), hint: conversation.preview && i18n.line(conversation.preview), run: () => go({ openId: conversation.id }) })),
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
  return search;
}
