// The store in which the browser keeps files of replies.

const STORE = "files";

// `act(store)` -> the request whose result is wanted. Rejects where the browser keeps nothing.
export function inStore(mode, act) {
  return new Promise((done, fail) => {
    const asked = indexedDB.open("omni", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE);
    asked.onerror = () => fail(asked.error);
    asked.onsuccess = () => {
      const change = asked.result.transaction(STORE, mode);
      const got = act(change.objectStore(STORE));
      change.oncomplete = () => done(got.result);
      change.onabort = () => fail(change.error);
    };
  });
}
