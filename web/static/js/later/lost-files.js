// A picture, a sound or a video that could not be fetched: its name stands in its place and says why. Without that the browser shows
// a broken picture, and nobody knows whether it is worth another try.

import { clone, setAttrs, setText, slot } from "../dom.js";

export async function showLost(media, i18n) {
  const address = media.getAttribute("src");
  const name = media.getAttribute("alt") ?? media.getAttribute("aria-label");
  const status = await fetch(address, { method: "HEAD" }).then((answer) => answer.status, () => 0);
  const item = media.closest("li");
  if (!item?.isConnected || media.getAttribute("src") !== address || status === 200) return; // another one by now, or back
  const note = clone("t-file");
  const link = slot(note, "file");
  setText(link, i18n.t(status === 404 ? "file.gone" : "file.unreachable", { name }));
  setAttrs(link, { href: status === 404 ? null : address.replace(/\/thumb$/, "") });
  item.replaceWith(note);
}
