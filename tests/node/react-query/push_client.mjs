// A polling client of the existing page's kind, made push-fed; real server, real socket. Started by tests/integration/test_polling_client.py.
// Prints a JSON line for what it sees; answers each line of its input with how often it has fetched, and ends when its input does.
import { createInterface } from "node:readline";
import { attachInboxPush } from "../../../web/static/js/react-query/inbox-push.js";

globalThis.window ??= globalThis; // else the library takes itself for a server, and does not poll
const [generation, baseUrl, token, conversationId] = process.argv.slice(2);
const { QueryClient, QueryObserver } = await import(generation === "4" ? "query-core-4" : "@tanstack/query-core");
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
let fetches = 0;

async function get(path) {
  fetches += 1;
  const answer = await fetch(new URL(path, baseUrl), { headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function watch(queryKey, path, refetchInterval, shown) {
  const observer = new QueryObserver(client, { queryKey, queryFn: () => get(path), refetchInterval, refetchIntervalInBackground: true });
  observer.subscribe(({ data, error }) => say(error ? { error: String(error) } : shown(data)));
}

const client = new QueryClient();
client.mount();
const push = attachInboxPush(client, { url: new URL("/ws", baseUrl).href, token });
push.subscribe(() => say({ status: push.getSnapshot() }));
watch(["conversations"], "/api/conversations?status=Open", 10_000, (data) => ({ list: data?.map((c) => [c.id, c.preview?.content]) }));
watch(["messages", conversationId], `/api/conversations/${conversationId}/messages`, 5_000, (data) => ({ thread: data?.messages.map((m) => m.content) }));

createInterface({ input: process.stdin }).on("line", () => say({ answers: { fetches } })).on("close", () => process.exit(0));
