// The few things every view does to the document. Text is only ever set as text: the page's policy forbids
// every way from a string to markup.

const HUES = 8;

export const find = (selector, root = document) => root.querySelector(selector);
export const slot = (root, name) => root.querySelector(`[data-f="${name}"]`);

export function clone(templateId) {
  return document.getElementById(templateId).content.firstElementChild.cloneNode(true);
}

// Unchanged text is not written again: it would restart selections and wake screen readers.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// null and false remove the attribute, true sets it empty.
export function setAttrs(node, values) {
  for (const name in values) {
    const value = values[name] === true ? "" : values[name];
    if (value === false || value == null) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
}

// `texts`: by the names of their slots. A slot without text is hidden, so that it takes no room and is not read out.
export function fillSlots(root, texts) {
  for (const name in texts) {
    const node = slot(root, name);
    setText(node, texts[name] || "");
    node.hidden = !texts[name];
  }
}

// Its items anew, each a clone of the template, handed to `fill(node, item, index)`. A list without any is hidden.
export function fillList(list, templateId, items, fill) {
  list.hidden = items.length === 0;
  list.replaceChildren(...items.map((item, index) => {
    const node = clone(templateId);
    fill(node, item, index);
    return node;
  }));
}

// For the eye a number, for the ear a sentence.
export function fillCount(node, n, i18n) {
  fillSlots(node, { count: n > 0 && i18n.number(n), unread: n > 0 && i18n.t("row.unread", { n }) });
}

// Initial and colour of a customer.
export function fillAvatar(node, id, name) {
  setAttrs(node, { "data-hue": id % HUES });
  setText(node, (/[\p{L}\p{N}]/u.exec(name)?.[0] ?? "•").toUpperCase());
}

// Makes the children of `parent`, clones of the template, follow `items`, moving as few elements as possible.
export function reconcile(parent, templateId, items, { key, update }) {
  const wanted = new Set(items.map(key));
  const held = new Map();
  // First what goes: it would stand in the way of what stays.
  for (const node of [...parent.children]) {
    if (wanted.has(node.dataset.key)) held.set(node.dataset.key, node);
    else node.remove();
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    let node = held.get(key(item));
    if (node && node === next) next = node.nextElementSibling;
    else if (node) move(parent, node, next);
    else parent.insertBefore((node = clone(templateId)), next);
    update(node, item);
  }
}

// moveBefore keeps focus and running media where the browser has it.
function move(parent, node, before) {
  if (parent.moveBefore) parent.moveBefore(node, before);
  else parent.insertBefore(node, before);
}

// At most one run per frame; in a hidden tab, which gets no frames, a few times a second.
export function perFrame(paint) {
  let isWaiting = false;
  const run = () => {
    isWaiting = false;
    paint();
  };
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    if (document.hidden) setTimeout(run, 250);
    else requestAnimationFrame(run);
  };
}

// At most one run in that time, and one for certain after the last call: a stream that never pauses does not put it off.
export function throttle(action, ms) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      action();
    }, ms);
  };
}

export function debounce(action, ms) {
  let timer = null;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(action, ms, ...args);
  };
}
