// Single keys, by their place on the keyboard so that a Bengali layout has them too. Never with Alt, Ctrl or
// Meta (layouts and browsers own those), never while writing, and with an off switch.

import { find } from "./dom.js";

// `isOn`: the agent's preference, `onSwitch(isOn)` changes it. `actions`: code -> function; "Shift+Slash" and the like for shifted ones
export function bindKeys({ isOn, onSwitch, actions }) {
  const help = find("#help");
  const enabled = find("#keys-on");
  const showHelp = () => help.showModal();
  enabled.checked = isOn;
  enabled.addEventListener("change", () => onSwitch(enabled.checked));
  find("#help-open").addEventListener("click", showHelp);
  const all = { ...actions, "Shift+Slash": showHelp };
  const closeMenu = bindMenu(find(".menu"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !find("dialog[open]") && closeMenu()) return;
    if (!enabled.checked || event.isComposing || event.altKey || event.ctrlKey || event.metaKey || find("dialog[open]")) return;
    if (event.target.closest("input, textarea")) return;
    const action = all[(event.shiftKey ? "Shift+" : "") + event.code];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

// A <details> closes by its own button alone.
function bindMenu(menu) {
  document.addEventListener("click", ({ target }) => menu.contains(target) || (menu.open = false));
  return () => {
    if (!menu.open) return false;
    menu.open = false;
    menu.firstElementChild.focus();
    return true;
  };
}
