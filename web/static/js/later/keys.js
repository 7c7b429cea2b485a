// Single keys, by their place on the keyboard so that a Bengali layout has them too. Never with Alt, Ctrl or
// Meta (layouts and browsers own those), never while writing, and with an off switch.

import { pass } from "../api.js";
import { find } from "../dom.js";

// `palette`: {dialog, load() -> what looks for what is typed in it}. `isOn`: the agent's preference, `onSwitch(isOn)` changes it.
// `actions`: code -> function; "Shift+Slash" and the like for shifted ones
export function bindKeys({ palette, isOn, onSwitch, actions }) {
  bindPalette(palette);
  const help = find("#help");
  const enabled = find("#keys-on");
  const showHelp = () => help.showModal();
  enabled.checked = isOn;
  enabled.addEventListener("change", () => onSwitch(enabled.checked));
  find("#help-open").addEventListener("click", showHelp);
  const all = { ...actions, "Shift+Slash": showHelp };
  const menu = find(".menu"); // a <details> closes by its own button alone
  document.addEventListener("click", ({ target }) => menu.contains(target) || (menu.open = false));
  document.addEventListener("keydown", (event) => {
    if (find("dialog[open]")) return;
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      return menu.firstElementChild.focus();
    }
    if (!enabled.checked || event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, textarea")) return;
    const action = all[(event.shiftKey ? "Shift+" : "") + event.code];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

// Ctrl+K, also while writing.
function bindPalette({ dialog, load }) {
  document.addEventListener("keydown", (event) => {
    if (event.code !== "KeyK" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (dialog.open) return;
    const field = find("input", dialog);
    const keep = (early) => load().then(() => field.dispatchEvent(new KeyboardEvent("keydown", early))).catch(pass);
    field.value = "";
    field.addEventListener("keydown", keep);
    dialog.showModal(); // at once: what is typed next goes there
    load().then((search) => {
      field.removeEventListener("keydown", keep);
      search();
    }).catch(pass);
  });
}
