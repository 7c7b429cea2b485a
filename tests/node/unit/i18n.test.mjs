import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { createI18n } from "../../../web/static/js/i18n.js";

process.env.TZ = "Asia/Dhaka";
const NOW = new Date("2026-11-22T10:00:00Z");
const DIGITS = { en: "latn", bn: "beng" };
const read = (lang) => JSON.parse(readFileSync(new URL(`../../../web/locale/${lang}.json`, import.meta.url)));
const of = (lang) => createI18n({ lang, digits: DIGITS[lang], strings: read(lang), now: () => NOW });

test("plurals follow the language: in Bengali 0 is like 1", () => {
  const strings = { "time.months": "", "k.one": "one {n}", "k.other": "other {n}" };
  const text = (lang, n) => createI18n({ lang, digits: DIGITS[lang], strings }).t("k", { n });
  assert.deepEqual([0, 1, 2].map((n) => text("en", n)), ["other 0", "one 1", "other 2"]);
  assert.deepEqual([0, 1, 2].map((n) => text("bn", n)), ["one ০", "one ১", "other ২"]);
});

test("values are put in as they are: a text with braces is not filled again", () => {
  assert.equal(of("en").t("row.reply", { text: "{n} {text}" }), "Reply: {n} {text}");
});

test("times are in the agent's zone and digits", () => {
  assert.equal(of("en").clock("2026-11-22T08:05:00.000Z"), "14:05");
  assert.equal(of("bn").clock("2026-11-22T08:05:00.000Z"), "১৪:০৫");
  assert.equal(of("bn").full("2026-11-22T08:05:00.000Z"), "২২ নভে ২০২৬, ১৪:০৫");
});

test("the list shows the clock today, then the day, then the year", () => {
  const { listTime } = of("en");
  assert.equal(listTime("2026-11-21T18:30:00.000Z"), "00:30");
  assert.equal(listTime("2026-11-21T17:30:00.000Z"), "Yesterday");
  assert.equal(listTime("2026-03-02T17:30:00.000Z"), "2 Mar");
  assert.equal(listTime("2025-03-02T17:30:00.000Z"), "2 Mar 2025");
});

test("waiting is told from a quarter of an hour on", () => {
  const ago = (minutes) => of("en").waiting(new Date(NOW - minutes * 60_000).toISOString());
  assert.equal(ago(14), null);
  assert.deepEqual(ago(15), { level: "warn", text: "15 min" });
  assert.deepEqual(ago(60), { level: "bad", text: "1 h" });
  assert.deepEqual(ago(60 * 72), { level: "bad", text: "3 days" });
});

test("Bengali words with Latin digits, and the other way round", () => {
  const strings = read("bn");
  assert.match(createI18n({ lang: "bn", digits: "latn", strings, now: () => NOW }).clock(NOW.toISOString()), /^\d\d:\d\d$/);
  assert.equal(createI18n({ lang: "en", digits: "beng", strings: read("en"), now: () => NOW }).number(123), "১২৩");
});

test("the reply window counts down, and says why it is closed, also when it closed since the last event", () => {
  const { replyWindow } = of("en");
  const at = (minutes) => new Date(NOW.getTime() + minutes * 60_000).toISOString();
  const window = (more) => replyWindow({ canReply: true, replyUntil: null, replyWindow: null, replyClosedReason: null, ...more });
  assert.deepEqual(window({}), { isClosed: false, text: "" });
  assert.deepEqual(window({ canReply: false }), { isClosed: false, text: "" }); // said before the customer wrote again
  assert.match(window({ replyWindow: "open", replyUntil: at(130) }).text, /2 h/);
  assert.match(window({ replyWindow: "open", replyUntil: at(12) }).text, /12 min/);
  assert.equal(window({ replyWindow: "open", replyUntil: at(-1) }).isClosed, true);
  assert.match(window({ replyWindow: "closed", replyClosedReason: "no_message" }).text, /yet/);
  assert.match(window({ replyWindow: "closed", replyClosedReason: "channel" }).text, /now/);
  const over = window({ channel: "Channel::FacebookPage", replyWindow: "open", replyUntil: at(-1) });
  assert.equal(over.isClosed, false); // the longer window may be in force
  assert.match(over.text, /may still/);
});

test("the reply window closes by the server's clock, in the very millisecond", () => {
  const strings = read("en");
  let server = NOW.getTime();
  const i18n = createI18n({ lang: "en", digits: "latn", strings, now: () => new Date(0), serverNow: () => server });
  const conversation = { channel: "Channel::Whatsapp", replyWindow: "open", replyUntil: NOW.toISOString() };
  server -= 1;
  assert.deepEqual({ ...i18n.replyWindow(conversation), text: "" }, { isClosed: false, left: 1, text: "" });
  server += 1;
  assert.equal(i18n.replyWindow(conversation).isClosed, true);
});
