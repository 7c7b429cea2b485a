// Colleagues in the page: how many are here, who looks at the open conversation, who writes in it; and what they are told of us.

import { fillSlots, find, slot } from "../dom.js";
import { Colleagues } from "./colleagues.js";
import { Typists } from "./typists.js";

const TELL_EVERY_MS = 2_000;
const NAMED_MOST = 3;
const EXPIRY_CHECK_MS = 3_000;

export class Presence {
  #colleagues = new Colleagues();
  #typists = new Typists();
  #app;
  #tell;
  #toldAt = -Infinity;
  #viewers = new Map(); // conversation id -> those who look at it

  // `app`: {agent, i18n, view, list}; `tell(frame)` goes to the colleagues.
  constructor(app, tell) {
    this.#app = app;
    this.#tell = tell;
    find("#reply").addEventListener("input", ({ target }) => this.#onTyping(target.value !== ""));
    document.addEventListener("visibilitychange", () => this.look());
    setInterval(() => this.paint(), EXPIRY_CHECK_MS);
  }

  apply(frame) {
    if (frame.type === "typing") this.#typists.apply(frame);
    else this.#colleagues.apply(frame);
    if (frame.type === "presence") {
      this.#viewers = Map.groupBy(this.#colleagues.others(this.#app.agent.id), ({ viewing }) => viewing);
      this.#app.list.paint();
    }
    this.paint();
  }

  // null: nobody
  viewersOf(conversationId) {
    const viewers = this.#viewers.get(conversationId);
    return viewers ? this.#say("thread.here", viewers) : null;
  }

  #say(key, agents) {
    return this.#app.i18n.t(key, { n: agents.length, names: names(agents) });
  }

  // What is looked at now: nothing in a hidden tab.
  look() {
    this.#tell({ type: "viewing", conversationId: document.hidden ? null : this.#app.view.openId });
    this.paint();
  }

  #onTyping(on) {
    const { openId } = this.#app.view;
    if (openId === null || (on && performance.now() - this.#toldAt < TELL_EVERY_MS)) return;
    this.#toldAt = on ? performance.now() : -Infinity;
    // A note is for colleagues alone.
    this.#tell({ type: "typing", conversationId: openId, on, toCustomer: !find("#note").checked });
  }

  paint() {
    const { agent, i18n, view } = this.#app;
    const others = this.#colleagues.others(agent.id);
    const bar = find(".menu");
    const n = this.#colleagues.online - 1; // in a large company only those who look at something are named
    fillSlots(bar, { here: n > 0 && i18n.t("menu.here", { n }) });
    slot(bar, "here").title = names(others);
    const viewers = others.filter(({ viewing }) => viewing !== null && viewing === view.openId);
    const writers = viewers.filter(({ typing }) => typing);
    const isNew = ({ name }) => name !== agent.name && !writers.some((writer) => writer.name === name);
    writers.push(...this.#typists.agents(view.openId).filter(isNew));
    fillSlots(find("#thread"), { colleagues: writers.length ? this.#say("thread.writes", writers)
      : this.#typists.isCustomerTyping(view.openId) ? i18n.t("thread.customer")
      : viewers.length && this.#say("thread.here", viewers) });
  }
}

// However many they are, a line has room for a few.
function names(agents) {
  const named = agents.slice(0, NAMED_MOST).map(({ name }) => name).join(", ");
  return agents.length > NAMED_MOST ? `${named} +${agents.length - NAMED_MOST}` : named;
}
