// A picture, a sound or a video that could not be fetched or shown: its name stands in its place and says why. Without that the browser
// shows a broken picture, and nobody knows whether it is worth another try.

import { draw } from "./draw.js";

const again = new WeakSet(); // asked for a second time

export async function showLost(media, i18n) {
  const address = media.getAttribute("src");
  const label = media.getAttribute("alt") ?? media.getAttribute("aria-label");
  const status = await fetch(address, { method: "HEAD" }).then((answer) => answer.status, () => 0);
  const item = media.closest("li");
  if (!item?.isConnected || media.getAttribute("src") !== address) return; // another one by now
  if (status === 200 && !again.has(media)) { // back, perhaps
    again.add(media);
    media.setAttribute("src", address);
    return;
  }
  const name = i18n.t({ 200: "file.notShown", 404: "file.gone" }[status] ?? "file.unreachable", { name: label });
  const href = status === 404 ? {} : { href: address.replace(/\/thumb$/, "") };
  const note = draw(["li", { class: "file" }, [["a", { ...href, target: "_blank", "data-f": "file", dir: "auto" }, [name]]]]);
  item.replaceWith(note);
}
