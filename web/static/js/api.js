// REST: one place for paths, timeouts and kinds of error.

const TIMEOUT_MS = 15_000;

// kind: offline (no answer), server (5xx, 429: may work later), refused (4xx), signed-out
export class ApiError extends Error {
  constructor(kind, { status = 0, code = kind, message = "", body = {} } = {}) {
    super(message);
    Object.assign(this, { kind, status, code, body });
  }
}

// For what a later moment, or the agent, tries again: trouble on the way to the server is let pass, a fault of ours is not.
export function pass(error) {
  if (!error.kind) throw error;
}

// A module that is fetched when it is first needed; one that could not be is asked for again.
export function lazily(load) {
  let held = null;
  return () => (held ??= load().catch((error) => {
    held = null;
    throw error instanceof TypeError ? new ApiError("offline") : error;
  }));
}

const loadUpload = lazily(() => import("./later/upload.js"));

export class Api {
  // `agentId`: whom the page was made for. `onSignedOut(reason)`: nobody is signed in in this browser any more, or somebody else.
  constructor({ agentId, onSignedOut }) {
    this.agentId = agentId;
    this.onSignedOut = onSignedOut;
  }

  // -> {items, cursor, next}: `next` is the address of the page after, or null
  async conversations({ status, platform, q, unsent, limit }, address = "/api/conversations") {
    const { data: items, ...more } = await this.#get(address, { limit, status, platform, q, unsent });
    return { items, ...more };
  }

  // -> {data: {Open, Closed, unsent}, cursor}
  unread() {
    return this.#get("/api/conversations/unread");
  }

  // -> {data, cursor}
  conversation(id) {
    return this.#get(`/api/conversations/${id}`);
  }

  // `page`: {limit, before} -> {data, cursor}
  thread(id, page) {
    return this.#get(`/api/conversations/${id}/messages`, page);
  }

  async events(cursor, limit) {
    return (await this.#get("/api/events", { cursor, limit })).data;
  }

  // `files`: goes as a form then, and `onProgress(part)` tells how much of it has gone, from 0 to 1.
  async reply({ conversationId, content, clientId, lastSeenMessageId, isPrivate, wish }, files, onProgress) {
    const body = { content, private: isPrivate, ...wish };
    if (lastSeenMessageId) body.lastSeenMessageId = lastSeenMessageId;
    const path = `/api/conversations/${conversationId}/reply`;
    const headers = { "Idempotency-Key": clientId, "Inbox-Agent": this.agentId };
    if (!files) return (await this.#request("POST", path, body, headers)).data;
    const form = new FormData();
    for (const [name, value] of Object.entries(body)) form.append(name, value);
    for (const file of files) form.append("attachments", file);
    const { upload } = await loadUpload();
    return this.#settle(await upload(path, form, headers, onProgress)).data;
  }

  async cannedReplies() {
    return (await this.#get("/api/canned-replies")).data;
  }

  async ownTokens() {
    return (await this.#get("/api/me/own-tokens")).data;
  }

  async prefer(preferences) {
    await this.#request("PATCH", "/api/me", { preferences });
  }

  // `act`: "retry" or "discard"
  async onMessage(act, conversationId, messageId) {
    return (await this.#request("POST", `/api/conversations/${conversationId}/messages/${messageId}/${act}`)).data;
  }

  async markRead(conversationId, messageId) {
    return (await this.#request("POST", `/api/conversations/${conversationId}/read`, { messageId })).data;
  }

  async setStatus(conversationId, status) {
    return (await this.#request("PATCH", `/api/conversations/${conversationId}`, { status })).data;
  }

  // What is empty is not asked for.
  #get(path, params = {}) {
    const given = Object.entries(params).filter(([, value]) => value);
    return this.#request("GET", given.length ? `${path}?${new URLSearchParams(given)}` : path);
  }

  async #request(method, path, body, headers = {}) {
    headers = { "Inbox-Agent": this.agentId, ...headers };
    if (body) headers = { ...headers, "Content-Type": "application/json" };
    const init = { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(TIMEOUT_MS) };
    let response;
    let data;
    try {
      response = await fetch(path, init);
      data = await response.json();
    } catch {
      throw new ApiError(response && !response.ok ? kindOf(response.status) : "offline", { status: response?.status });
    }
    return this.#settle({ status: response.status, data, headers: response.headers });
  }

  #settle({ status, data, headers }) {
    if (status < 300) return { data, cursor: headers?.get("Inbox-Cursor"), next: nextAddress(headers?.get("Link")) };
    const { code, message, detail } = data ?? {};
    if (status === 401 || code === "other_agent") this.onSignedOut(status === 401 ? "signed-out" : "replaced");
    throw new ApiError(kindOf(status), { status, code, message: message ?? detail, body: data });
  }
}

function kindOf(status) {
  if (status === 401) return "signed-out";
  return status >= 500 || status === 429 || status === 408 ? "server" : "refused";
}

// Only the path is taken over: behind a proxy the server may not know the outside origin.
function nextAddress(link) {
  const match = /<([^>]+)>\s*;\s*rel="?next"?/.exec(link ?? "");
  if (!match) return null;
  const url = new URL(match[1], location.href);
  return url.pathname + url.search;
}
