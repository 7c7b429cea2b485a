// The text of a message as nodes: Chatwoot's markdown, and what can be pressed in it. server/core/pages/page_text.py does the same;
// a test compares the two. A node is a text, or [tag, attributes, nodes]. No DOM.

import { linkShapes, foundLink, isSpace, targetLink } from "./links.js";

const BLOCKS_MOST = 4; // one in another
const MARKS_MOST = 6;
const tags = { "**": "strong", __: "strong", "*": "em", _: "em", "~~": "del" };
const plain = new RegExp(linkShapes, "gu");
const marked = new RegExp(String.raw`${linkShapes}|(?<escape>\\[!-\/:-@\[-\x60\{-~])|(?<code>\x60+)|(?<mark>\*\*\*|\*\*|\*|__|_|~~)|(?<label>!?\[)`, "gu");
// a bracket that is escaped begins no label: each would be looked at again from every one before it
const mailed = new RegExp(String.raw`${linkShapes}|(?<escape>\\[\[\\])|(?<label>!?\[)`, "gu");
const labelled = /!?\[((?:[^\[\]\\]|\\[^\n]){0,500})\]\(((?:[^\u0000-\u0020<>()]|\([^\u0000-\u0020<>()]{0,500}\)){1,2000})(?: "[^"\n]{0,500}")?\)/uy;
const fence = /^ {0,3}\x60{3}[^\x60\n]*$/u;
const itemOf = /^( {0,3}(?:[-*]|([0-9]{1,9})[.)]) {1,4})([^ \n][^\n]*)$/u;
const heading = /^#{1,6} +([^\n]+)$/u;
const quoted = /^ {0,3}> ?/u;
const blank = /^[ \t]*$/;
const word = "[\\p{L}\\p{N}\\p{M}]";
const endsAsWord = new RegExp(`${word}$`, "u");
const beginsAsWord = new RegExp(`^${word}`, "u");

const paragraph = (nodes) => ["p", { dir: "auto" }, nodes];

// A text as it was written, with its links.
export const plainNodes = (text) => (text ? [paragraph(linked(text))] : []);

// A mail as it was written, with its links: Chatwoot writes those of a mail in HTML as markdown, and the rest as plain text.
export const mailNodes = (text) => (text ? [paragraph(scan(text, mailed, ({ groups, index, 0: sign }) => {
  if (groups.escape) return [null, sign.length];
  return groups.label ? label(text, index, sign) : foundLink(kindOf(groups), sign);
}))] : []);

// A text with its markdown and its links.
export const markedNodes = (text) => blocks(text.replaceAll("\r\n", "\n").split("\n"), 0);

function blocks(lines, depth) {
  const nodes = [];
  let at = 0;
  let hasFence = true; // one that ends

  function fenced() {
    if (!hasFence || !fence.test(lines[at])) return null;
    for (let end = at + 1; end < lines.length; end++) {
      if (!/^ *\x60{3} *$/.test(lines[end])) continue;
      const code = lines.slice(at + 1, end).join("\n");
      at = end + 1;
      return ["pre", { dir: "auto" }, [["code", {}, [code]]]];
    }
    hasFence = false;
    return null;
  }

  function quote() {
    if (depth >= BLOCKS_MOST || !quoted.test(lines[at])) return null;
    const inner = [];
    while (at < lines.length && quoted.test(lines[at])) inner.push(lines[at++].replace(quoted, ""));
    return ["blockquote", {}, blocks(inner, depth + 1)];
  }

  function list() {
    const first = itemOf.exec(lines[at]);
    if (!first || depth >= BLOCKS_MOST) return null;
    const isOrdered = first[2] !== undefined;
    const items = [];
    for (let node = item(isOrdered); node; node = item(isOrdered)) items.push(node);
    const start = isOrdered ? first[2].replace(/^0+/, "") || "0" : "1";
    return [isOrdered ? "ol" : "ul", start === "1" ? {} : { start }, items];
  }

  // The next item of the list, with the lines that are indented below it.
  function item(isOrdered) {
    const found = at < lines.length && itemOf.exec(lines[at]);
    if (!found || (found[2] !== undefined) !== isOrdered) return null;
    const inner = [found[3]];
    at++;
    while (at < lines.length && lines[at].startsWith("  ") && !blank.test(lines[at])) inner.push(lines[at++].replace(/^ {2,4}/, ""));
    const held = blocks(inner, depth + 1);
    return ["li", { dir: "auto" }, held.length === 1 && held[0][0] === "p" ? held[0][2] : held];
  }

  function text() {
    const found = heading.exec(lines[at]);
    if (found) {
      at++;
      return paragraph([["strong", {}, inline(found[1], 0)]]);
    }
    const inner = [lines[at++]];
    while (at < lines.length && goesOn(lines[at])) inner.push(lines[at++]);
    // A backslash at its end breaks a line, as the line's end does.
    return paragraph(inline(inner.map((line) => line.replace(/\\$/, "")).join("\n"), 0));
  }

  function goesOn(line) {
    if (blank.test(line) || heading.test(line) || (hasFence && fence.test(line))) return false;
    if (depth >= BLOCKS_MOST) return true;
    const found = itemOf.exec(line);
    return !quoted.test(line) && (!found || (found[2] !== undefined && found[2] !== "1"));
  }

  while (at < lines.length) {
    if (blank.test(lines[at])) at++;
    else nodes.push(fenced() ?? quote() ?? list() ?? text());
  }
  return nodes;
}

const linked = (text) => scan(text, plain, ({ groups, 0: sign }) => foundLink(kindOf(groups), sign));

const kindOf = (groups) => Object.keys(groups).find((name) => groups[name] !== undefined);

// The text with what was found in it in its place. `nodeOf` gives a node, or null for plain text, and how much of the text it takes.
function scan(text, shapes, nodeOf) {
  const nodes = [];
  let at = 0;
  let kept = 0;
  const add = (node) => {
    if (typeof node === "string" && typeof nodes.at(-1) === "string") nodes[nodes.length - 1] += node;
    else if (node !== "") nodes.push(node);
  };
  const next = () => {
    shapes.lastIndex = at; // of all texts: one within another has moved it
    return shapes.exec(text);
  };
  for (let found = next(); found; found = next()) {
    const [node, taken] = nodeOf(found);
    at = found.index + taken;
    if (node === null || node === text.slice(found.index, at)) continue;
    add(text.slice(kept, found.index));
    add(node);
    kept = at;
  }
  add(text.slice(kept));
  return nodes;
}

// Marks, code and links in the text of one paragraph. What is searched for once in vain is not searched for again.
function inline(text, depth) {
  if (depth >= MARKS_MOST) return linked(text);
  const missing = new Set();

  function code(start, sign) {
    const begin = start + sign.length;
    const end = missing.has(sign) ? -1 : text.indexOf(sign, begin);
    if (end < 0) missing.add(sign);
    if (end <= begin || text[end + sign.length] === "\x60") return [null, sign.length];
    return [["code", {}, [text.slice(begin, end)]], end + sign.length - start];
  }

  function mark(start, sign) {
    const begin = start + sign.length;
    const end = canOpen(start, begin) ? endOf(begin, sign) : -1;
    if (end < 0) return [null, sign.length];
    const inner = inline(text.slice(begin, end), depth + 1);
    return [sign === "***" ? ["strong", {}, [["em", {}, inner]]] : [tags[sign], {}, inner], end + sign.length - start];
  }

  const canOpen = (start, begin) =>
    begin < text.length && !isSpace(text[begin]) && !endsAsWord.test(text.slice(Math.max(0, start - 2), start));

  // Where the mark that began is ended; -1 where it is not.
  function endOf(begin, sign) {
    if (missing.has(sign)) return -1;
    for (let at = text.indexOf(sign, begin + 1); at > 0; at = text.indexOf(sign, at + 1)) {
      const after = at + sign.length;
      const isSingle = text[at - 1] !== sign[0] && text[after] !== sign[0];
      const canEnd = !isSpace(text[at - 1]) && text[at - 1] !== "\\";
      if (canEnd && isSingle && (sign === "**" || !beginsAsWord.test(text.slice(after, after + 2)))) return at;
    }
    missing.add(sign);
    return -1;
  }

  return scan(text, marked, ({ groups, index, 0: sign }) => {
    const kind = kindOf(groups);
    if (kind === "escape") return [sign[1], 2];
    if (kind === "code") return code(index, sign);
    if (kind === "mark") return mark(index, sign);
    return kind === "label" ? label(text, index, sign) : foundLink(kind, sign);
  });
}

function label(text, start, sign) {
  labelled.lastIndex = start;
  const found = labelled.exec(text);
  if (!found) return [null, sign.length];
  const shown = found[1].replace(/\\([!-/:-@[-\x60{-~])/g, "$1");
  if (found[2].startsWith("mention://")) return [["span", { class: "mention", dir: "auto" }, [shown]], found[0].length];
  const node = targetLink(found[2], shown);
  return node ? [node, found[0].length] : [null, sign.length];
}
