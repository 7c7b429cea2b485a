// The freshness chip, and the page's one polite status region.

import { debounce, fillSlots, find, setText } from "./dom.js";

const ANNOUNCE_AFTER_MS = 5_000; // a short break is not worth interrupting anybody

export class Status {
  #chip = find("#chip");
  #region = find("#status");
  #i18n;
  #said = "live";
  #announceSoon = debounce((word, text) => {
    if (word === this.#said) return;
    this.#said = word;
    this.say(text);
  }, ANNOUNCE_AFTER_MS);

  constructor(i18n) {
    this.#i18n = i18n;
  }

  // `view` as Freshness gives it.
  // `delay`: median ms from Chatwoot's time to this screen, or null.
  show({ word, asOf, missing, reason, delay }) {
    const text = this.#text(word, asOf, missing, reason);
    const { t, clock, seconds } = this.#i18n;
    this.#chip.dataset.word = word;
    const isMeasured = word === "live" && delay !== null;
    const action = word === "stopped" && t(reason === "signed-out" ? "chip.signIn" : "chip.reload");
    fillSlots(this.#chip, { word: text, delay: isMeasured && seconds(delay), action });
    this.#chip.title = t("chip.asOf", { time: clock(asOf) }) + (isMeasured ? `\n${t("chip.delay", { time: seconds(delay) })}` : "");
    this.#announceSoon(word, text);
  }

  // Read out once by a screen reader.
  say(text) {
    setText(this.#region, text);
  }

  #text(word, asOf, missing, reason) {
    const { t, clock, has } = this.#i18n;
    if (word === "catching-up" && missing) return t("chip.catchingUpBy", { n: missing });
    return t(has(`chip.${word}.${reason}`) ? `chip.${word}.${reason}` : `chip.${word}`, { time: clock(asOf) });
  }
}
