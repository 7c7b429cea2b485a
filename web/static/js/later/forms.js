// The form of each kind of message in its bubble: what stands above the text, the text, what stands below it, and its files.
// server/core/pages/page_forms.py makes the same nodes; a test compares the two. No DOM but in `fillForm`.

import { setText, slot } from "../dom.js";
import { isGroup, isStandIn } from "../i18n.js";
import { attachmentNodes } from "./attachments.js";
import { show } from "./draw.js";
import { mailLink, outside, safeAddress } from "./links.js";
import { mailNodes, markedNodes, plainNodes } from "./text.js";

export { fillHeadMarks, fillRowMarks, prepareMarks } from "./marks.js";

const FOLD_POINTS = 2_000;
const FOLD_LINES = 30;
const SPARE_POINTS = 400; // so few more are not worth a fold
const MARKED_POINTS = 20_000; // a longer text is no markdown
const QUOTE_POINTS = 200;
const isNumber = /^[0-9]+$/; // of an account: a name to nobody
const filled = new WeakMap(); // element of a message -> what it was filled with

// `item`: as arrange() of message.js gives it.
export function fillForm(node, { message, messages, conversation }, i18n) {
  const { channel } = conversation;
  const customer = isGroup(conversation) ? null : conversation.externalUserName;
  const quote = message.details?.quote;
  const quoted = quote && messages.find(({ chatwootMessageId: number }) => number && number === quote.chatwootMessageId);
  const before = filled.get(node);
  if (before?.message === message && before.quoted === quoted && before.channel === channel && before.customer === customer) return;
  filled.set(node, { message, quoted, channel, customer });
  const who = slot(node, "who");
  setText(who, senderOf(message, i18n, channel, customer));
  who.hidden = false;
  const form = messageForm(message, i18n, quoted, channel);
  for (const name in form) show(slot(node, name), form[name]);
}

// `quoted`: the message it answers, where the page has it. `channel`: the conversation's, as Chatwoot names it.
export function messageForm(message, i18n, quoted, channel) {
  const none = { before: [], body: [], after: [], files: [] };
  if (message.deleted) return { ...none, body: [line(i18n.t("message.deleted"), "hint")] };
  const form = {
    before: above(message, i18n, quoted),
    body: body(message, i18n),
    after: below(message, i18n, channel),
    files: attachmentNodes(message, i18n),
  };
  if (Object.values(form).some(({ length }) => length)) return form;
  return { ...none, body: [line(i18n.line(message), "hint")] };
}

// Who wrote it: the name, and what wrote it where that was no person here. `customer`: their present name; null for a group. A conversation
// is one customer's (a merge of contacts renames all of it), so that older messages have it, too.
export function senderOf({ senderKind, senderType, senderName: name }, i18n, channel, customer) {
  const kind = senderKind || senderType;
  if (kind === "customer" && customer) return customer;
  if (kind === "customer" || kind === "agent") return name || i18n.t(`message.${kind}`);
  const app = appOf(channel, i18n);
  const what = kind !== "channelApp" ? i18n.t(`sender.${kind}`) : app ? i18n.t("sender.channelApp", { app }) : i18n.t("sender.phone");
  return name ? `${name} · ${what}` : what;
}

function appOf(channel, i18n) {
  const key = `appName.${(channel ?? "").replace(/^Channel::/, "")}`;
  return i18n.has(key) ? i18n.t(key) : null;
}

const line = (text, of) => ["p", { class: of }, [text]];
const text = (words) => ["p", { dir: "auto" }, [words]];
const bold = (child) => ["p", { dir: "auto" }, [["strong", {}, [child]]]];
const lengthOf = (words) => [...words].length;
const aside = (inner) => ["div", { class: "aside" }, inner];

function above({ details }, i18n, quoted) {
  const { ad, story, quote, email } = details ?? {};
  const nodes = [];
  if (ad) nodes.push(adNode(ad, i18n));
  if (story) nodes.push(storyNode(story, i18n));
  if (quote) nodes.push(quoteNode(quote, quoted, i18n));
  const rows = email ? mailHead(email, i18n) : [];
  if (rows.length) nodes.push(["dl", { class: "aside" }, rows]);
  return nodes;
}

function adNode({ headline, body: words, url }, i18n) {
  const address = safeAddress(url);
  const title = headline || address;
  const inner = [line(i18n.t("bubble.ad"), "hint")];
  if (title) inner.push(bold(address ? outside(address, title) : title));
  if (words) inner.push(text(words));
  return aside(inner);
}

function storyNode({ url, sender }, i18n) {
  const address = safeAddress(url);
  const label = i18n.t("bubble.story");
  const name = sender && !isNumber.test(sender) ? [` · ${sender}`] : [];
  return ["p", { class: "aside", dir: "auto" }, [address ? outside(address, label) : label, ...name]];
}

// A link where the message is there; else a button, as only a script can load it.
function quoteNode({ chatwootMessageId: number }, quoted, i18n) {
  let words = quoted?.deleted ? i18n.t("message.deleted") : (quoted && i18n.line(quoted)) || i18n.t("bubble.quote");
  const points = [...words];
  if (points.length > QUOTE_POINTS) words = `${points.slice(0, QUOTE_POINTS).join("")}…`;
  const name = quoted?.senderName;
  const inner = [...(name ? [["strong", { dir: "auto" }, [name]]] : []), ["span", { dir: "auto" }, [words]]];
  const given = { class: "quote", ...(number != null && { "data-quote": String(number) }) };
  if (quoted?.id != null) return ["a", { ...given, href: `#m${quoted.id}` }, inner];
  return ["button", { ...given, type: "button", "data-script": "" }, inner];
}

function mailHead({ subject, from, to, cc, bcc }, i18n) {
  const rows = subject ? row(i18n.t("bubble.subject"), [["strong", {}, [subject]]]) : [];
  for (const [name, addresses] of Object.entries({ from: from ? [from] : [], to, cc, bcc })) {
    if (!addresses?.length) continue;
    rows.push(...row(i18n.t(`bubble.${name}`), addresses.reduce((inner, address) => join(inner, mailLink(address)), [])));
  }
  return rows;
}

const join = (inner, node) => (inner.length ? [...inner, ", ", node] : [node]);
const row = (label, inner) => [["dt", {}, [label]], ["dd", { dir: "auto" }, inner]];

function body({ isSummary, content: written, kind, details, attachments }, i18n) {
  const isInPlace = isStandIn(kind, written ?? "");
  if (isSummary || !written || written === attachments?.[0]?.contact?.name) return []; // the card says it
  if (isInPlace && (kind !== "sticker" || attachments?.length)) return [];
  const ours = i18n.shared(kind, written);
  if (ours) return [text(ours)];
  const isMail = kind === "email";
  const quoted = details?.email?.quoted;
  const content = isInPlace ? written.slice(1) : written; // of an earlier version: a link to the picture
  if (!quoted || !content.endsWith(quoted)) return folded(content, i18n, isMail);
  let end = content.length - quoted.length;
  while (content[end - 1] === " " || content[end - 1] === "\n") end--;
  const rest = ["details", {}, [["summary", {}, [i18n.t("bubble.quoted")]], ...folded(quoted, i18n, isMail)]];
  return [...folded(content.slice(0, end), i18n, isMail), rest];
}

// What is beyond the first screen of a long text stands behind a button.
function folded(words, i18n, isMail) {
  const points = lengthOf(words);
  const nodesOf = isMail ? mailNodes : points > MARKED_POINTS ? plainNodes : markedNodes;
  let head = [...words.split("\n").slice(0, FOLD_LINES).join("\n")].slice(0, FOLD_POINTS);
  if (points - head.length <= SPARE_POINTS) return nodesOf(words);
  const half = Math.floor(head.length / 2);
  let cut = head.lastIndexOf("\n");
  if (cut <= half) cut = head.lastIndexOf(" ");
  if (cut > half) head = head.slice(0, cut);
  const shown = head.join("");
  const rest = words.slice(shown.length).replace(/^\n/, "");
  return [...nodesOf(shown), ["details", {}, [["summary", {}, [i18n.t("bubble.showAll")]], ...nodesOf(rest)]]];
}

function below(message, i18n, channel) {
  const details = message.details ?? {};
  const nodes = [
    ...choices(details, i18n),
    ...answers(details.form ?? [], i18n),
    ...[...(details.cards ?? []), ...(details.articles ?? [])].map((card) => cardNode(card, i18n)),
    ...ofKind(message, details, i18n, channel),
  ];
  for (const { language, text: words } of details.translations ?? []) {
    nodes.push(line(i18n.t("bubble.translation", { language: i18n.t(`languageName.${language}`) }), "hint"));
    nodes.push(["div", /^[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})?$/.test(language) ? { lang: language } : {}, plainNodes(words)]);
  }
  return [...nodes, ...edited(message, details, i18n)];
}

function edited({ editedAt }, { previousContent }, i18n) {
  const word = i18n.t("message.edited");
  const attributes = { class: "hint", "data-f": "edited" };
  if (previousContent) return [["details", attributes, [["summary", {}, [word]], ...plainNodes(previousContent)]]];
  return editedAt ? [["p", attributes, [word]]] : [];
}

// The answers to choose from; those that were chosen are marked, for the ear as well.
function choices({ options = [], chosen = [] }, i18n) {
  const nameOf = ({ value, title }) => value || title;
  const names = chosen.map(nameOf);
  const known = options.map(nameOf);
  const items = [...options, ...chosen.filter((one) => !known.includes(nameOf(one)))].map((one) => {
    const isChosen = names.includes(nameOf(one));
    const mark = ["span", { class: "sr" }, [` (${i18n.t("bubble.chosen")})`]];
    return ["li", { ...(isChosen && { "data-chosen": "" }), dir: "auto" }, isChosen ? [one.title, mark] : [one.title]];
  });
  return items.length ? [["ul", { class: "choices" }, items]] : [];
}

function answers(fields, i18n) {
  const rows = fields.flatMap(({ label, value }) =>
    [["dt", { dir: "auto" }, [label]], ["dd", { dir: "auto" }, value ? plainNodes(value) : [i18n.t("bubble.notFilled")]]]);
  return rows.length ? [["dl", { class: "aside" }, rows]] : [];
}

function cardNode({ title, description, imageUrl, actions }, i18n) {
  const inner = [];
  if (title) inner.push(bold(title));
  if (description) inner.push(text(description));
  const picture = safeAddress(imageUrl);
  if (picture) inner.push(["p", {}, [outside(picture, i18n.t("file.image"), picture)]]);
  for (const action of actions ?? []) {
    const address = safeAddress(action.url);
    inner.push(text(address ? outside(address, action.text, address) : action.text));
  }
  return aside(inner);
}

function ofKind({ kind, isSummary, content }, { rating, givenEmail, call }, i18n, channel) {
  if (kind === "unsupported") return [line(i18n.t("bubble.unsupported", { app: appOf(channel, i18n) ?? i18n.t("bubble.theirApp") }), "hint")];
  if (kind === "rating") return ratingNodes(rating ?? {}, i18n);
  if (kind === "emailAsked") return [givenEmail ? text(mailLink(givenEmail)) : line(i18n.t("bubble.emailAsked"), "hint")];
  if (kind === "call") return [line(callWords(call ?? {}, i18n), "call")];
  if (kind === "meeting") return [line(i18n.t("bubble.joinInChatwoot"), "hint")];
  return isSummary && (kind === "poll" || kind === "unknown") ? [line(i18n.line({ kind, content }), "hint")] : [];
}

function ratingNodes({ value, feedback }, i18n) {
  const stars = value && ["span", { class: "stars", "aria-hidden": "true" }, ["★".repeat(value) + "☆".repeat(5 - value)]];
  const first = value ? ["p", {}, [stars, ` ${i18n.t("bubble.stars", { n: value })}`]] : line(i18n.t("bubble.ratingAsked"), "hint");
  return [first, ...plainNodes(feedback || "")];
}

function callWords({ direction, outcome, seconds }, i18n) {
  const parts = [i18n.t(direction === "outbound" ? "call.outbound" : "call.inbound")];
  if (outcome) parts.push(i18n.t(`callOutcome.${outcome}`));
  if (seconds) parts.push(`${i18n.number(Math.floor(seconds / 60))}:${i18n.number(seconds % 60).padStart(2, i18n.number(0))}`);
  return parts.join(" · ");
}
