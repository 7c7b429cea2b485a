// What goes with a reply: people in copy, files, quotes.
import assert from "node:assert/strict";
import test from "node:test";

import { addresses, recipients, wrongOf } from "../../../web/static/js/later/copies.js";
import { mayBeQuoted } from "../../../web/static/js/later/quoting.js";
import { sorted } from "../../../web/static/js/later/upload-limits.js";

const MB = 1024 * 1024;
const LIMITS = { files: 3, bytes: 25_000_000 };
const mail = (email, more = {}) => ({ senderType: "customer", details: { email }, ...more });
const file = (name, size, type = "text/plain") => ({ name, size, type });
const reasons = ({ refused }) => refused.map(({ key, values }) => `${key} ${values.name}`);

test("everybody of the last mail gets a copy, but for the contact and ourselves", () => {
  const messages = [
    mail({ from: "lina@a.example", to: ["help@us.example"], cc: ["old@a.example"] }),
    mail({ from: "Lina <lina@a.example>", to: ["Help <HELP@us.example>", "boss@a.example"],
      cc: ["Boss@a.example", "b@a.example", "reply+0f8fad5b-d9cb-469f-a165-70867728950e@us.example"], bcc: ["c@a.example"] }),
    mail({ cc: ["gone@a.example"] }, { deleted: true }),
    { senderType: "agent", details: { email: { cc: ["ours@a.example"] } } },
  ];
  assert.deepEqual(recipients(messages, "lina@a.example", ["help@us.example"]),
    { to: "lina@a.example", cc: ["Boss@a.example", "b@a.example"], bcc: ["c@a.example"] });
});

test("whoever wrote in the contact's place gets a copy, as the answer goes to the contact", () => {
  const messages = [mail({ from: "boss@a.example", to: ["help@us.example"], cc: ["lina@a.example"] })];
  assert.deepEqual(recipients(messages, "lina@a.example", ["help@us.example"]).cc, ["boss@a.example"]);
});

test("without a mail nobody gets a copy", () => {
  assert.deepEqual(recipients([{ senderType: "customer" }], null, []), { to: "", cc: [], bcc: [] });
});

test("addresses are told apart however they are written", () => {
  assert.deepEqual(addresses(" a@b.example;  c@d.example,\nA@b.example "), ["a@b.example", "c@d.example"]);
  assert.equal(wrongOf(["a@b.example", "nobody", "c@d"]), "nobody");
  assert.equal(wrongOf(["c@d"]), "c@d");
  assert.equal(wrongOf(["a@b.example"]), undefined);
});

test("a file is refused by itself, and nothing else is lost", () => {
  const given = [file("photo.png", 6 * MB, "image/png"), file("voice.ogg", 6 * MB, "audio/ogg"), file("void.txt", 0), file("last.pdf", 10)];
  const found = sorted([file("first.txt", 10)], given, "Channel::Whatsapp", LIMITS);
  assert.deepEqual(found.taken.map(({ name }) => name), ["first.txt", "voice.ogg", "last.pdf"]);
  assert.deepEqual(reasons(found), ["upload.tooLarge photo.png", "upload.empty void.txt"]);
  assert.deepEqual(found.refused[0].values, { name: "photo.png", size: 6, most: 5 });
});

test("a file that is hardly too large is never said to be as large as allowed", () => {
  const { refused } = sorted([], [file("photo.png", 5 * MB + 1, "image/png")], "Channel::Whatsapp", LIMITS);
  assert.deepEqual(refused[0].values, { name: "photo.png", size: 5.1, most: 5 });
  const [{ values }] = sorted([], [file("film.mp4", 25_000_001, "video/mp4")], null, LIMITS).refused;
  assert.deepEqual(values, { name: "film.mp4", size: 23.9, most: 23.8 });
});

test("a note goes to no channel, so only our own limit counts", () => {
  assert.deepEqual(reasons(sorted([], [file("photo.png", 6 * MB, "image/png")], null, LIMITS)), []);
  assert.deepEqual(reasons(sorted([], [file("film.mp4", 24 * MB, "video/mp4")], null, LIMITS)), ["upload.tooLarge film.mp4"]);
});

test("files together, and their number, have limits", () => {
  const many = [1, 2, 3, 4].map((n) => file(`${n}.txt`, 10));
  assert.deepEqual(reasons(sorted([], many, "Channel::Api", LIMITS)), ["upload.tooMany 4.txt"]);
  const large = [1, 2].map((n) => file(`${n}.bin`, 13_000_000));
  assert.deepEqual(reasons(sorted([], large, "Channel::Api", LIMITS)), ["upload.together 2.bin"]);
});

test("what a channel can quote", () => {
  const theirs = { id: 1, chatwootMessageId: 8, senderType: "customer", deleted: false, private: false };
  const ours = { ...theirs, senderType: "agent", deliveryState: "sent" };
  assert.ok(mayBeQuoted(theirs, "Channel::Whatsapp"));
  assert.ok(mayBeQuoted(ours, "Channel::Whatsapp"));
  assert.ok(mayBeQuoted(theirs, "Channel::FacebookPage"));
  assert.ok(!mayBeQuoted(ours, "Channel::FacebookPage"));
  for (const channel of ["Channel::Email", "Channel::Sms", "Channel::Line", null]) assert.ok(!mayBeQuoted(theirs, channel), channel);
  for (const no of [{ deleted: true }, { private: true }, { chatwootMessageId: null }, { id: null }]) {
    assert.ok(!mayBeQuoted({ ...theirs, ...no }, "Channel::Whatsapp"), JSON.stringify(no));
  }
  for (const deliveryState of ["sending", "failed"]) assert.ok(!mayBeQuoted({ ...ours, deliveryState }, "Channel::Whatsapp"));
});
