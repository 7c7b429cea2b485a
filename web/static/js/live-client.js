// Gives the page its line: through a SharedWorker, so that all tabs of a browser share one socket, else a socket
// of its own. Both look the same from here.

import { Live } from "./live.js";

const WORKER_MAX_MS = 3_000; // a worker that does not answer by then is not there

// The one place where a string becomes the address of a script.
const policy = globalThis.trustedTypes?.createPolicy("inbox", { createScriptURL: (url) => url });

// `options`: {wsUrl, agentId, client, cursor() -> string, on: {state, events, head, reset, clock, aside}}
export function openLine({ wsUrl, ...more }) {
  const url = new URL(wsUrl, location.href); // sockets take relative addresses only in newer browsers
  url.protocol = url.protocol.replace("http", "ws");
  const options = { ...more, wsUrl: url.href };
  const isRefused = new URLSearchParams(location.search).get("transport") === "page";
  return isRefused || !("SharedWorker" in globalThis) ? inPage(options) : inWorker(options);
}

function inPage({ wsUrl, client, cursor, on }) {
  const live = new Live({ url: wsUrl, client, cursor: cursor(), on });
  live.visible = !document.hidden;
  live.start();
  return {
    wake: () => live.wake(),
    leave: () => {},
    rejoin: () => live.wake(),
    stop: (reason) => live.stop(reason),
    tell: (frame) => live.tell(frame),
  };
}

function inWorker(options) {
  const { on, wsUrl, client, cursor, agentId } = options;
  const url = new URL("live-worker.js", import.meta.url).href;
  const worker = new SharedWorker(policy?.createScriptURL(url) ?? url,
    { type: "module", name: `inbox-${agentId}`, extendedLifetime: true });
  const { port } = worker;
  const post = (type, more) => port.postMessage({ type, ...more });
  const line = {
    wake: () => post("wake"),
    leave: () => post("leave"),
    rejoin: () => post("join", { wsUrl, client, cursor: cursor(), visible: !document.hidden }),
    stop: (reason) => post("stop", { reason }),
    tell: (frame) => post("tell", { frame }),
  };
  // Whoever holds the line goes on with a socket of this page's.
  const fallBack = () => {
    clearTimeout(patience);
    worker.onerror = null;
    port.close();
    Object.assign(line, inPage(options));
  };
  const patience = setTimeout(fallBack, WORKER_MAX_MS);
  worker.onerror = fallBack;
  port.onmessage = ({ data }) => {
    clearTimeout(patience);
    on[data.type]?.(...data.args);
  };
  line.rejoin();
  return line;
}
