// Tells the death of a worker at once: the browser gives its lock to whoever waits for it.

// `signal` ends the waiting.
export async function onEnd(name, signal, act) {
  try {
    await navigator.locks.request(name, { mode: "shared", signal }, () => {});
  } catch (error) {
    if (signal.aborted) return;
    throw error;
  }
  if (!signal.aborted) act();
}
