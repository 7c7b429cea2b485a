// Says across the page that it has not been live for a while: the chip alone is easily overlooked.

import { find, setText } from "../dom.js";

const AFTER_MS = 5_000; // most breaks are shorter

// -> show(view), as Freshness gives it
export function bindBanner({ t, clock }) {
  const node = find("#banner");
  let timer = null;
  let view;
  const paint = () => {
    const key = ["offline", "stopped"].includes(view.word) ? view.word : "polling";
    setText(node, t(`banner.${key}`, { time: clock(view.asOf) }));
    node.hidden = false;
  };
  return (shown) => {
    view = shown;
    if (view.word !== "live") {
      timer ??= setTimeout(paint, AFTER_MS);
      if (!node.hidden) paint();
      return;
    }
    clearTimeout(timer);
    timer = null;
    node.hidden = true;
  };
}
