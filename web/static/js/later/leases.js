// Locks among tabs for browsers without the Web Locks API (pages without https): whoever holds one says so in the storage, and says it
// anew while it lasts; of a tab that died it ends by itself. Two tabs that begin in the same moment may rarely both hold it, which
// costs a second request under the same key.

const LEASE_MS = 5_000;
const SETTLE_MS = 100; // until all tabs see the same storage

const SYSTEM = {
  now: () => Date.now(),
  later: (action, ms) => setTimeout(action, ms),
  cancel: (timer) => clearTimeout(timer),
};
const queues = new Map(); // of this tab, by name: promise of the one before

// As navigator.locks.request.
export function request(name, act, storage = localStorage, system = SYSTEM) {
  const done = (queues.get(name) ?? Promise.resolve()).catch(() => {}).then(() => hold(`omni:lease:${name}`, act, storage, system));
  queues.set(name, done);
  return done;
}

async function hold(key, act, storage, { now, later, cancel }) {
  const own = crypto.getRandomValues(new Uint32Array(2)).join("-");
  let renewal = null;
  const take = () => {
    storage.setItem(key, JSON.stringify([own, now() + LEASE_MS]));
    renewal = later(take, LEASE_MS / 3);
  };
  while (holderOf(storage.getItem(key), now()) !== own) {
    cancel(renewal);
    if (holderOf(storage.getItem(key), now()) === null) take();
    await new Promise((done) => later(done, SETTLE_MS));
  }
  try {
    return await act();
  } finally {
    cancel(renewal);
    if (holderOf(storage.getItem(key), now()) === own) storage.removeItem(key);
  }
}

// null: nobody. An end further away than a lease lasts was written before the clock was set back.
function holderOf(text, nowMs) {
  const [own, until] = JSON.parse(text) ?? [null, 0];
  return until > nowMs && until <= nowMs + LEASE_MS ? own : null;
}
