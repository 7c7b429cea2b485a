// What a message has with it, as nodes: files through the server, places, contact cards, outside links.
// server/core/pages/page_attachments.py makes the same; a test compares the two. No DOM.

import { mailLink, outside, phoneLink, safeAddress } from "./links.js";
import { plainNodes } from "./text.js";

const MEDIA = ["image", "audio", "video"];

// An item for each attachment that can be shown. Files are fetched through the server, as their addresses come from outside and
// expire; a place and an outside link lead there, and are not fetched.
export function attachmentNodes(message, i18n) {
  const nodes = [];
  for (const [index, one] of (message.attachments ?? []).entries()) {
    if ([one.url, one.link].some((address) => address && !safeAddress(address))) continue;
    const address = `/api/attachments/${message.id}/${one.id ? `id-${one.id}` : index}`;
    nodes.push(item(one, one.url ? address : null, message, i18n));
  }
  return nodes;
}

const bold = (text) => ["p", { dir: "auto" }, [["strong", {}, [text]]]];
const isSticker = (one, message) => one.isSticker || message.kind === "sticker";

function item(one, address, message, i18n) {
  const { type, link, transcript } = one;
  if (one.latitude != null && one.longitude != null) return place(one, i18n);
  if (one.contact) return card(one.contact, i18n);
  const kind = mediaOf(one, address);
  const inner = [file(one, kind, address, message, i18n)];
  if (address && type !== "file" && !MEDIA.includes(type)) inner.unshift(["p", { class: "hint" }, [i18n.t(`linkType.${type}`)]]);
  if (link && address) inner.push(["p", {}, [outside(link, i18n.t(`linkType.${type}`))]]);
  if (transcript) inner.push(["div", { class: "transcript" }, [["p", { class: "hint" }, [i18n.t("bubble.transcript")]], ...plainNodes(transcript)]]);
  const attributes = {};
  if (kind !== "audio") attributes.class = kind === "file" ? "file" : "image";
  if (isSticker(one, message)) attributes["data-sticker"] = "";
  return ["li", attributes, inner];
}

// What shows it: by its type; a post or a story by what its file is, else by its picture.
function mediaOf({ type, mimeType, thumbUrl }, address) {
  if (!address || type === "file" || MEDIA.includes(type)) return address ? type : "file";
  const [of] = (mimeType ?? (thumbUrl ? "image/" : "")).split("/");
  return MEDIA.includes(of) ? of : "file";
}

function file(one, kind, address, message, i18n) {
  const { name, type, link, title, thumbUrl, width, height } = one;
  const label = name || i18n.t(isSticker(one, message) ? "kind.sticker" : `file.${kind}`);
  if (kind === "file") {
    if (link && !address) return outside(link, title || name || i18n.t(`linkType.${type}`), link);
    return ["a", { ...(address && { href: address }), target: "_blank", "data-f": "file", dir: "auto" }, [label]];
  }
  const sizes = width && height ? { width: String(width), height: String(height) } : {};
  if (kind !== "image") {
    const preload = kind === "audio" ? "none" : "metadata";
    return [kind, { "data-f": "file", controls: "", preload, "aria-label": label, ...(kind === "video" && sizes), src: address }, []];
  }
  const src = thumbUrl ? `${address}/thumb` : address;
  return ["a", { href: address, target: "_blank" }, [["img", { "data-f": "file", loading: "lazy", decoding: "async", alt: label, ...sizes, src }, []]]];
}

// The name and the address of a place, and the map at its coordinates.
function place({ latitude, longitude, title, name, address }, i18n) {
  const [north, east] = [latitude, longitude].map((degrees) => degrees.toFixed(6));
  const shown = title || name;
  const inner = [];
  if (shown) inner.push(bold(shown));
  if (address && address !== shown) inner.push(["p", { dir: "auto" }, [address]]);
  const map = `https://www.openstreetmap.org/?mlat=${north}&mlon=${east}#map=17/${north}/${east}`;
  return ["li", { class: "file" }, [...inner, ["p", {}, [outside(map, i18n.t("bubble.map", { place: `${north}, ${east}` }))]]]];
}

function card({ name, phones, emails }, i18n) {
  const inner = [bold(name || i18n.t("kind.contact"))];
  for (const one of phones ?? []) inner.push(["p", {}, [phoneLink(one)]]);
  for (const one of emails ?? []) inner.push(["p", {}, [mailLink(one)]]);
  return ["li", { class: "file" }, inner];
}
