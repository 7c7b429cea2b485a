// A picture, a sound or a video that could not be fetched: its name stands in its place and says why. Without that the browser shows
// a broken picture, and nobody knows whether it is worth another try.

import { draw } from "./draw.js";

export async function showLost(media, i18n) {
  const address = media.getAttribute("src");
  const label = media.getAttribute("alt") ?? media.getAttribute("aria-label");
  const status = await fetch(address, { method: "HEAD" }).then((answer) => answer.status, () => 0);
  const item = media.closest("li");
  if (!item?.isConnected || media.getAttribute("src") !== address || status === 200) return; // another one by now, or back
  const name = i18n.t(status === 404 ? "file.gone" : "file.unreachable", { name: label });
  const href = status === 404 ? {} : { href: address.replace(/\/thumb$/, "") };
  const note = draw(["li", { class: "file" }, [["a", { ...href, target: "_blank", "data-f": "file", dir: "auto" }, [name]]]]);
  item.replaceWith(note);
}
