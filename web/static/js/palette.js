// Ctrl+K or Cmd+K: any conversation by name, any view and action, without leaving the keyboard.

import { find } from "./dom.js";
import { fold } from "./list.js";
import { Options } from "./options.js";

const CONVERSATIONS_MAX = 8;

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
    const people = text === "" ? [] : store.conversations().filter(({ externalUserName }) => has(externalUserName ?? ""));
    return [
      ...people.slice(0, CONVERSATIONS_MAX).map(({ id, externalUserName, preview }) =>
        ({ label: externalUserName, hint: preview?.content, run: () => go({ openId: id }) })),
      ...actions().filter(({ label }) => has(label)),
      ...(text ? [{ label: i18n.t("palette.search", { text }), run: () => go({ q: text, openId: null }) }] : []),
    ];
  }

  // Whatever can be clicked now, called what it is called there.
  const actions = () => [...document.querySelectorAll("a[data-view], #toggle, .menu-body > a, .menu-body button")]
    .filter((node) => node.closest(".menu") || node.checkVisibility())
    .map((node) => ({ label: node.firstChild.data.trim(), run: () => node.click() }));

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
