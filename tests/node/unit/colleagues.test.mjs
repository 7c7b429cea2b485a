import assert from "node:assert/strict";
import { test } from "node:test";
import { Colleagues } from "../../../web/static/js/later/colleagues.js";
import { Clock } from "./clock.mjs";

const presence = (whole, agents, gone = []) => ({ type: "presence", online: 3, whole, agents, gone });
const asha = { id: 3, name: "Asha", viewing: 17, typing: true };
const tomas = { id: 4, name: "Tomas", viewing: null, typing: false };

test("a whole frame replaces what was known, a delta changes it", () => {
  const colleagues = new Colleagues(new Clock().now);
  colleagues.apply(presence(true, [asha, tomas]));
  assert.deepEqual(colleagues.others(3).map(({ id }) => id), [4]);
  colleagues.apply(presence(false, [{ ...tomas, viewing: 17 }], [3]));
  assert.deepEqual(colleagues.others(null), [{ ...tomas, viewing: 17 }]);
  colleagues.apply(presence(true, [asha]));
  assert.deepEqual(colleagues.others(null).map(({ id }) => id), [3]);
});

test("typing that is not repeated has ended; a customer's is no colleague's", () => {
  const clock = new Clock();
  const colleagues = new Colleagues(clock.now);
  colleagues.apply(presence(true, [asha]));
  colleagues.apply({ type: "typing", conversationId: 17, who: "customer", on: true });
  assert.equal(colleagues.others(null)[0].typing, true);
  clock.ms += 6_001;
  assert.equal(colleagues.others(null)[0].typing, false);
});

test("whoever comes later gets the whole of it", () => {
  const first = new Colleagues(new Clock().now);
  first.apply(presence(true, [asha, tomas]));
  const second = new Colleagues(new Clock().now);
  second.apply(first.frame);
  assert.deepEqual(second.others(null), first.others(null));
  assert.equal(second.online, 3);
});
