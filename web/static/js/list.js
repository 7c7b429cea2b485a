// The conversation list: keyed rows, newest first, true to its filter under live changes, older rows on demand.

import { find, perFrame, reconcile, setText } from "./dom.js";
import { queryOf } from "./navigation.js";
import { createRow, fillRow } from "./row.js";

const ROWS_MAX = 300; // beyond this, moving a row costs more than a frame
const HOLD_MS = 4_000; // a resting pointer stops holding the order

export class List {
  #els = {
    rows: find("#rows"), empty: find("#list-empty"), more: find("#more"), pill: find("#moved"),
  };
  #app;
  #hits = new Set(); // what the server found for the search text: it also searches inside messages
  #next;
  #floor = ""; // lastMessageAt of the oldest row loaded
  #loading = false;
  #heldOrder = null;
  #holdTimer = null;
  paint = perFrame(() => this.#paint());

  // `app`: {store, i18n, api, drafts, view: {status, q, openId}}; `page`: {items, next}
  constructor(app, page) {
    this.#app = app;
    this.#take(page);
    const area = this.#els.rows.parentElement;
    this.#els.more.addEventListener("click", (event) => {
      event.preventDefault();
      this.#loadMore();
    });
    new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this.#loadMore(),
      { root: area, rootMargin: "400px" }).observe(this.#els.more);
    area.addEventListener("pointermove", ({ pointerType }) => pointerType === "mouse" && this.#hold());
    area.addEventListener("pointerleave", () => this.#release());
    this.#els.pill.addEventListener("click", () => this.#release());
    app.store.subscribe(() => this.paint());
  }

  // A new first page: another filter, or a reset.
  show(page) {
    this.#hits.clear();
    this.#take(page);
    this.#release();
  }

  // The row, or the list where it has left it.
  focus(id) {
    this.#paint();
    (find(`[data-key="${id}"] a`, this.#els.rows) ?? this.#els.rows.parentElement).focus();
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
    const { store } = this.#app;
    const isLoaded = ({ lastMessageAt }) => !this.#next || (lastMessageAt ?? "") >= this.#floor;
    return store.conversations().filter((row) => this.#matches(row) && isLoaded(row)).slice(0, ROWS_MAX);
  }

  // The open conversation stays in sight until the agent leaves it, even when it no longer matches.
  #matches({ id, status, externalUserName, preview }) {
    const { status: wanted, q, openId } = this.#app.view;
    if (id === openId && this.#hits.has(id)) return true;
    if (wanted && status !== wanted) return false;
    return !q || this.#hits.has(id) || fold(`${externalUserName} ${preview?.content}`).includes(fold(q));
  }

  #paint() {
    const { store, i18n, drafts, view } = this.#app;
    const rows = this.#inHeldOrder(this.#visible());
    reconcile(this.#els.rows, rows, {
      key: ({ id }) => String(id),
      create: createRow,
      update: (row, conversation) => fillRow(row, conversation, {
        i18n, unread: store.unread(conversation.id) ?? 0, isOpen: conversation.id === view.openId,
        query: queryOf(view), draft: conversation.id === view.openId ? "" : drafts.get(conversation.id),
      }),
    });
    this.#els.empty.hidden = rows.length > 0;
    setText(this.#els.empty.firstElementChild, i18n.t(view.q ? "list.emptySearch" : view.status === "Open" ? "list.emptyOpen" : "list.empty"));
    this.#els.more.hidden = !this.#next || rows.length >= ROWS_MAX;
  }

  // While the pointer is over the list nothing moves under it; a button tells that the order has changed.
  #inHeldOrder(rows) {
    if (!this.#heldOrder) return rows;
    const place = new Map(this.#heldOrder.map((id, index) => [id, index]));
    const known = rows.filter(({ id }) => place.has(id));
    const held = [...known].sort((a, b) => place.get(a.id) - place.get(b.id));
    this.#els.pill.hidden = known.length === rows.length && known.every((row, index) => row === held[index]);
    return held;
  }

  #hold() {
    this.#heldOrder ??= [...this.#els.rows.children].map(({ dataset }) => Number(dataset.key));
    clearTimeout(this.#holdTimer);
    this.#holdTimer = setTimeout(() => this.#release(), HOLD_MS);
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
    if (this.#loading || !this.#next || this.#els.rows.children.length >= ROWS_MAX) return;
    this.#loading = true;
    try {
      const page = await this.#app.api.conversations({ address: this.#next });
      this.#take(page);
      this.#app.store.load(page.items);
      this.paint();
    } catch (error) {
      if (!error.kind) throw error; // no line: the observer or the agent asks again
    } finally {
      this.#loading = false;
    }
  }
}

// Bengali digits and Latin ones are one number; composed and decomposed letters are one letter.
export const fold = (text) =>
  text.normalize("NFC").toLowerCase().replace(/[০-৯]/g, (digit) => String.fromCharCode(digit.charCodeAt(0) - 0x09b6));
