// A CRM's inbox as it was: React Query polls the list every 10 s and the open thread every 5 s. The marked lines are the upgrade.
const asked = new URLSearchParams(location.search);
const { QueryClient, QueryClientProvider, useQuery } = asked.get("major") === "4" ? ReactQuery : await import("@tanstack/react-query");
const { createElement: h, useSyncExternalStore } = React;
const token = asked.get("token");
window.fetches = 0;
window.underWay = 0;

async function get(path) {
  window.fetches += 1;
  window.underWay += 1;
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` } }).finally(() => { window.underWay -= 1; });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

const client = new QueryClient();
const { attachInboxPush } = await import(asked.get("push")); // the upgrade: one import,
const push = attachInboxPush(client, { token }); // and one line

function List() {
  const { data = [] } = useQuery({ queryKey: ["conversations"], queryFn: () => get("/api/conversations?status=Open"), refetchInterval: 10_000 });
  return h("ul", { id: "list" }, data.map((one) => h("li", { key: one.id, "data-id": one.id }, `${one.externalUserName}: ${one.preview?.content} (${one.unreadCount})`)));
}

function Thread({ id }) {
  const { data } = useQuery({ queryKey: ["messages", id], queryFn: () => get(`/api/conversations/${id}/messages`), refetchInterval: 5_000 });
  return h("ol", { id: "thread" }, (data?.messages ?? []).map((one) => h("li", { key: one.id }, one.content)));
}

const Status = () => h("output", { id: "status" }, useSyncExternalStore(push.subscribe, push.getSnapshot));

ReactDOM.createRoot(document.querySelector("#root")).render(
  h(QueryClientProvider, { client }, h(Status), h(List), h(Thread, { id: asked.get("conversation") })),
);
