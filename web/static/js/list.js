// The conversation list: keyed rows, newest first, true to its filter under live changes. The document holds a window of
// rows around what is in sight, room above and below stands for the others; older ones are fetched on the way down.

import { fillAvatar, fillCount, fillSlots, find, perFrame, reconcile, setAttrs, setText, slot } from "./dom.js";
import { pass } from "./api.js";
import { forms, loadForms } from "./message.js";
import { queryOf } from "./navigation.js";

const ROWS_MAX = 300; // beyond this, moving a row costs more than a frame
const ROWS_ABOVE = 100;
const STEP = 50; // the window moves by this many rows at a time
const ASLEEP = ["snoozed", "pending"];
const HOLD_MS = 4_000; // a resting pointer stops holding the order

export class List {
  #els = {
    area: find("#list"), rows: find("#rows"), empty: find("#list-empty"), more: find("#more"), pill: find("#moved"),
  };
  #app;
  #hits = new Set(); // what the server found for the search text: it also searches inside messages
  #next;
  #floor = ""; // lastMessageAt of the oldest row loaded
  #start = 0; // of the window
  #loading = false;
  #ids = []; // of all rows, those outside the window too
  #heldOrder = null;
  #holdTimer = null;
  paint = perFrame(() => this.#paint());

  // `app`: {store, i18n, api, reads, drafts, outbox, presence, view: {status, platform, q, unsent, openId}}; `page`: {items, next}
  constructor(app, page) {
    this.#app = app;
    this.#take(page);
    const { area, more, pill, rows } = this.#els;
    more.addEventListener("click", (event) => {
      event.preventDefault();
      this.#loadMore();
    });
    new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#loadMore(),
      { root: area, rootMargin: "400px" }).observe(more);
    area.addEventListener("scroll", () => this.#windowStart() !== this.#start && this.paint(), { passive: true });
    area.addEventListener("pointermove", ({ pointerType }) => pointerType === "mouse" && this.#hold());
    area.addEventListener("pointerleave", () => this.#release());
    // A row chosen with the keyboard must not run away before Enter is pressed.
    rows.addEventListener("focusin", ({ target }) => target.matches(":focus-visible") && this.#hold(null));
    rows.addEventListener("focusout", () => this.#release());
    pill.addEventListener("click", () => this.#release());
    app.store.subscribe(() => this.paint());
    loadForms().then(this.paint).catch(pass);
  }

  get length() {
    return this.#ids.length;
  }

  // The first page of another filter.
  show(page) {
    this.renew(page);
    this.#els.area.scrollTop = 0;
    this.#release();
  }

  // The same rows anew, after a reset.
  renew(page) {
    this.#hits.clear();
    this.#take(page);
    this.paint();
  }

  // The row, or the list where it has left it.
  focus(id) {
    this.#paint();
    (find(`[data-key="${id}"] a`, this.#els.rows) ?? this.#els.area).focus();
  }

  // The row `step` away from the focused or open one, for the keyboard.
  neighbour(step) {
    const links = [...this.#els.rows.querySelectorAll("a")];
    const focused = links.indexOf(document.activeElement);
    const from = focused >= 0 ? focused : links.findIndex((link) => link.ariaCurrent === "page");
    return links[Math.min(links.length - 1, Math.max(0, from + step))] ?? null;
  }

  // Rows older than what was loaded so far would stand there with a gap above them.
  #visible() {
    const q = fold(this.#app.view.q);
    const isLoaded = ({ lastMessageAt }) => !this.#next || (lastMessageAt ?? "") >= this.#floor;
    return this.#app.store.conversations().filter((row) => isLoaded(row) && this.#matches(row, q));
  }

  // The open conversation stays in sight until the agent leaves it, even when it no longer matches.
  #matches({ id, status, platform, externalUserName, preview, unsentReply }, q) {
    const { view, outbox } = this.#app;
    if (id === view.openId && this.#hits.has(id)) return true;
    if (view.unsent && !unsentReply && !outbox.hasFailed(id)) return false;
    if ((view.status && status !== view.status) || (view.platform && platform !== view.platform)) return false;
    return !q || this.#hits.has(id) || fold(`${externalUserName} ${preview?.content}`).includes(q);
  }

  #paint() {
    const { store, i18n, drafts, outbox, view } = this.#app;
    const all = this.#inHeldOrder(this.#visible());
    this.#ids = all.map(({ id }) => id);
    this.#start = Math.min(this.#windowStart(), Math.max(0, all.length - STEP));
    const rows = all.slice(this.#start, this.#start + ROWS_MAX);
    forms?.prepareMarks(this.#app);
    reconcile(this.#els.rows, "t-row", rows, {
      key: ({ id }) => String(id),
      update: (row, conversation) => fillRow(row, conversation, {
        i18n, unread: store.unread(conversation.id) ?? 0, isOpen: conversation.id === view.openId, query: queryOf(view),
        hasFailed: outbox.hasFailed(conversation.id),
        viewers: this.#app.presence?.viewersOf(conversation.id),
        draft: conversation.id === view.openId ? null : drafts.first(conversation.id),
      }),
    });
    this.#els.rows.style.setProperty("--above", this.#start);
    this.#els.rows.style.setProperty("--below", all.length - this.#start - rows.length);
    this.#els.empty.hidden = all.length > 0;
    const isNarrowed = view.q || view.platform;
    setText(this.#els.empty.firstElementChild, i18n.t(isNarrowed ? "list.emptySearch" : view.unsent ? "list.emptyUnsent" : view.status === "Open" ? "list.emptyOpen" : "list.empty"));
    this.#els.more.hidden = !this.#next;
  }

  // All rows are of one height.
  #windowStart() {
    const height = this.#els.rows.firstElementChild?.offsetHeight || 72;
    return Math.max(0, Math.floor((this.#els.area.scrollTop / height - ROWS_ABOVE) / STEP) * STEP);
  }

  // While the pointer or the focus is in the list nothing moves; a button tells that the order has changed.
  #inHeldOrder(rows) {
    if (!this.#heldOrder) return rows;
    const place = new Map(this.#heldOrder.map((id, index) => [id, index]));
    const known = rows.filter(({ id }) => place.has(id));
    const held = [...known].sort((a, b) => place.get(a.id) - place.get(b.id));
    this.#els.pill.hidden = known.length === rows.length && known.every((row, index) => row === held[index]);
    return held;
  }

  // `ms` null: until it is released.
  #hold(ms = HOLD_MS) {
    this.#heldOrder ??= this.#ids;
    clearTimeout(this.#holdTimer);
    if (ms) this.#holdTimer = setTimeout(() => this.#release(), ms);
  }

  #release() {
    clearTimeout(this.#holdTimer);
    this.#heldOrder = null;
    this.#els.pill.hidden = true;
    this.paint();
  }

  #take({ items, next }) {
    this.#next = next;
    for (const { id } of items) this.#hits.add(id);
    this.#floor = items.at(-1)?.lastMessageAt ?? "";
  }

  async #loadMore() {
    if (this.#loading || !this.#next) return;
    this.#loading = true;
    const { api, reads, store } = this.#app;
    const next = this.#next;
    // without a line the observer or the agent asks again
    const page = await reads.run(() => api.conversations({}, next), ({ items }) => store.load(items)).catch(pass)
      .finally(() => (this.#loading = false));
    if (!page || next !== this.#next) return; // of a list that is not shown any more
    this.#take(page);
    // Rows that were not there yet are no change of order.
    if (this.#heldOrder) this.#heldOrder = [...this.#heldOrder, ...page.items.map(({ id }) => id)];
    this.paint();
  }
}

// Prints exactly what web/templates/_row.html prints; a test keeps the two alike.
// `context`: {i18n, unread, isOpen, hasFailed, draft: {text, isNote} or null, query, viewers: what is said of the colleagues who look at it}
export function fillRow(row, conversation, { i18n, unread, isOpen, hasFailed, draft, query, viewers }) {
  const { id, lastMessageAt, waitingSince, status, chatwootStatus, unsentReply } = conversation;
  const name = i18n.nameOf(conversation);
  setAttrs(row, { "data-key": id, "data-unread": unread > 0 });
  setAttrs(row.firstElementChild, { href: `/inbox/c/${id}${query}`, "aria-current": isOpen && "page" });
  fillAvatar(slot(row, "avatar"), id, name);
  setAttrs(slot(row, "time"), { datetime: lastMessageAt, title: lastMessageAt && i18n.full(lastMessageAt) });
  setText(slot(row, "time"), lastMessageAt ? i18n.listTime(lastMessageAt) : "");
  // What sleeps, or is a bot's, waits for nobody here.
  const wait = status === "Open" && waitingSince && !ASLEEP.includes(chatwootStatus) ? i18n.waiting(waitingSince) : null;
  setAttrs(slot(row, "waiting"), { "data-level": wait?.level });
  fillSlots(row, { name, waiting: wait?.text, failed: (hasFailed || unsentReply) && i18n.t("row.failed"), draft: draft && i18n.t(draft.isNote ? "row.noteDraft" : "row.draft") });
  setText(slot(row, "preview"), draft?.text || previewText(conversation.preview, i18n));
  slot(row, "viewers").hidden = !viewers;
  setAttrs(slot(row, "viewers"), { "aria-label": viewers, title: viewers });
  fillCount(row, unread, i18n);
  forms?.fillRowMarks(row, conversation, i18n);
}

function previewText(preview, i18n) {
  if (!preview) return "";
  const text = i18n.line(preview) || (preview.hasAttachments ? i18n.t("row.attachment") : "");
  return preview.senderType === "agent" ? i18n.t("row.reply", { text }) : text;
}

// Nearly as the server's search (core/state/search_text.py): spelling, accents, case and digits make no difference.
export const fold = (text) =>
  text.normalize("NFKD").toLowerCase().replace(/[\u0300-\u036f\u200b-\u200f]/g, "")
    .replace(/[০-৯]/g, (digit) => digit.charCodeAt() - 0x9e6);
