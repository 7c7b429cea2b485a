// Colleagues in the page: how many are here, who looks at the open conversation, who writes in it; and what they are told of us.

import { fillSlots, find, slot } from "./dom.js";
import { Colleagues } from "./colleagues.js";

const TELL_EVERY_MS = 2_000;
const EXPIRY_CHECK_MS = 3_000;

export class Presence {
  #colleagues = new Colleagues();
  #app;
  #tell;
  #toldAt = 0;

  // `app`: {agent, i18n, view}; `tell(frame)` goes to the colleagues.
  constructor(app, tell) {
    this.#app = app;
    this.#tell = tell;
    find("#reply").addEventListener("input", ({ target }) => this.#onTyping(target.value !== ""));
    document.addEventListener("visibilitychange", () => this.look());
    setInterval(() => this.paint(), EXPIRY_CHECK_MS);
  }

  apply(frame) {
    this.#colleagues.apply(frame);
    this.paint();
  }

  // What is looked at now: nothing in a hidden tab.
  look() {
    this.#tell({ type: "viewing", conversationId: document.hidden ? null : this.#app.view.openId });
    this.paint();
  }

  #onTyping(on) {
    const { openId } = this.#app.view;
    if (openId === null || (on && Date.now() - this.#toldAt < TELL_EVERY_MS)) return;
    this.#toldAt = on ? Date.now() : 0;
    this.#tell({ type: "typing", conversationId: openId, on });
  }

  paint() {
    const { agent, i18n, view } = this.#app;
    const others = this.#colleagues.others(agent.id);
    const bar = find(".menu");
    fillSlots(bar, { here: others.length && i18n.t("menu.here", { n: others.length }) });
    slot(bar, "here").title = names(others);
    const viewers = others.filter(({ viewing }) => viewing !== null && viewing === view.openId);
    const writers = viewers.filter(({ typing }) => typing);
    fillSlots(find("#thread"), { colleagues: writers.length ? i18n.t("thread.writes", { names: names(writers) })
      : this.#colleagues.isCustomerTyping(view.openId) ? i18n.t("thread.customer")
      : viewers.length && i18n.t("thread.here", { names: names(viewers) }) });
  }
}

const names = (agents) => agents.map(({ name }) => name).join(", ");
