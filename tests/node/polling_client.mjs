// The existing page's way of reading, without the page: React Query's core polls the list and an open thread with the documented calls.
// Started by tests/integration/test_polling_client.py. Prints a JSON line for what it sees; ends when its input does.
import http from "node:http";
import { createInterface } from "node:readline";

globalThis.window ??= globalThis; // else the library takes itself for a server, and does not poll
const [generation, baseUrl, token, conversationId, listMs, threadMs] = process.argv.slice(2);
const { QueryClient, QueryObserver } = await import(generation === "4" ? "query-core-4" : "@tanstack/query-core");
const agent = new http.Agent({ keepAlive: true });
const cache = new Map(); // what a browser's HTTP cache does for `private, no-cache`: ask with If-None-Match, give the kept body for a 304
const answers = { 200: 0, 304: 0 };

function get(path) {
  return new Promise((resolve, reject) => {
    const kept = cache.get(path);
    const headers = { authorization: `Bearer ${token}`, ...(kept ? { "if-none-match": kept.tag } : {}) };
    const request = http.get(new URL(path, baseUrl), { agent, headers }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        answers[response.statusCode] = (answers[response.statusCode] ?? 0) + 1;
        if (response.statusCode === 304) return resolve(JSON.parse(kept.body));
        if (response.statusCode !== 200) return reject(new Error(`${path}: ${response.statusCode}`));
        const body = Buffer.concat(chunks).toString("utf8");
        cache.set(path, { tag: response.headers.etag, body });
        resolve(JSON.parse(body));
      });
    });
    request.on("error", reject);
  });
}

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const client = new QueryClient();
client.mount();
const list = new QueryObserver(client, {
  queryKey: ["conversations"],
  queryFn: () => get("/api/conversations?status=Open"),
  refetchInterval: Number(listMs),
  refetchIntervalInBackground: true,
});
const thread = new QueryObserver(client, {
  queryKey: ["messages", conversationId],
  queryFn: () => get(`/api/conversations/${conversationId}/messages`),
  refetchInterval: Number(threadMs),
  refetchIntervalInBackground: true,
});
list.subscribe(({ data, error }) => say(error ? { error: String(error) } : { list: data?.map((c) => [c.id, c.lastMessageAt]) }));
thread.subscribe(({ data, error }) => say(error ? { error: String(error) } : { thread: data?.messages.map((m) => m.content) }));

createInterface({ input: process.stdin }).on("line", () => say({ answers })).on("close", () => process.exit(0));
