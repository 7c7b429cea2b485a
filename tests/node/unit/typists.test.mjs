import assert from "node:assert/strict";
import { test } from "node:test";

import { Typists } from "../../../web/static/js/later/typists.js";
import { Clock } from "./clock.mjs";

function typists() {
  const clock = new Clock();
  const held = new Typists(clock.now);
  const types = (name, on, conversationId = 17) =>
    held.apply({ type: "typing", conversationId, ...(name ? { who: "agent", name } : { who: "customer" }), on });
  return { clock, held, types };
}

test("a customer's typing ends when it is told, and else by itself", () => {
  const { clock, held, types } = typists();
  types(null, true);
  assert.deepEqual([held.isCustomerTyping(17), held.isCustomerTyping(18), held.agents(17)], [true, false, []]);
  types(null, false);
  assert.equal(held.isCustomerTyping(17), false);
  types(null, true);
  clock.ms += 29_999;
  assert.equal(held.isCustomerTyping(17), true);
  clock.ms += 2;
  assert.equal(held.isCustomerTyping(17), false);
});

test("agents who write in Chatwoot have names, stop, and end by themselves", () => {
  const { clock, held, types } = typists();
  types("Nadia", true);
  types("Tomas", true);
  types("Asha", true, 18);
  assert.deepEqual(held.agents(17), [{ name: "Nadia" }, { name: "Tomas" }]);
  assert.equal(held.isCustomerTyping(17), false);
  types("Nadia", false);
  assert.deepEqual(held.agents(17), [{ name: "Tomas" }]);
  clock.ms += 30_001;
  assert.deepEqual(held.agents(17), []);
});
