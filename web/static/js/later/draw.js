// Elements of nodes: a text, or [tag, attributes, nodes]. server/core/pages/page_nodes.py prints the same. The page's policy lets no
// string become markup; that no address can run anything is held to here once more.

const tags = /^(?:a|audio|blockquote|button|code|d[dlt]|del|details|div|em|img|li|[ou]l|p|pre|span|strong|summary|video)$/;
const held = new WeakMap(); // place -> what it shows

export function draw(node) {
  if (typeof node === "string") return document.createTextNode(node);
  const [tag, attributes, children] = node;
  if (!tags.test(tag)) throw new TypeError(tag);
  const element = document.createElement(tag);
  for (const name in attributes) {
    if (/^on|^style$|^srcdoc$/.test(name)) throw new TypeError(name);
    if ((name === "href" || name === "src") && !/^(https?:|mailto:|tel:|\/(?!\/)|#)/.test(attributes[name])) throw new TypeError(name);
    element.setAttribute(name, attributes[name]);
  }
  element.append(...children.map(draw));
  return element;
}

// What is there already stays as it is: playing media, unfolded texts, and what the server printed.
export function show(place, nodes) {
  const key = JSON.stringify(nodes);
  if (held.get(place) === key) return;
  const fresh = place.cloneNode(false);
  fresh.append(...nodes.map(draw));
  place.hidden = nodes.length === 0;
  fresh.hidden = place.hidden;
  if (held.has(place) || !place.isEqualNode(fresh)) place.replaceChildren(...fresh.childNodes);
  else place.querySelectorAll("img, audio, video").forEach(sayBroken);
  held.set(place, key);
}

// What the server printed may have failed before anybody listened.
function sayBroken(media) {
  if (media.error || (media.complete && media.naturalWidth === 0)) media.dispatchEvent(new Event("error"));
}
