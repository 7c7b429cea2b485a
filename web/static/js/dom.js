// The few things every view does to the document. Text is only ever set as text: the page's policy forbids
// every way from a string to markup.

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
export function setAttr(node, name, value) {
  if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value === true ? "" : value)) node.setAttribute(name, value === true ? "" : value);
}

// A slot without text is hidden, so that it takes no room and is not read out.
export function fillSlot(root, name, text) {
  const node = slot(root, name);
  setText(node, text ?? "");
  node.hidden = !text;
}

// Makes the children of `parent` follow `items`, moving as few elements as possible.
export function reconcile(parent, items, { key, create, update }) {
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
    else parent.insertBefore((node = create(item)), next);
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

export function debounce(action, ms) {
  let timer = null;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(action, ms, ...args);
  };
}
