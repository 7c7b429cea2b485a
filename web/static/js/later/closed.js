// The server took no reply because the channel takes none now: what was written stands in its field again, with the reason above it.

import { find, setText } from "../dom.js";
import { composed } from "./joining.js";

const ON_ITS_WAY = ["undo", "sending", "waiting"];

export async function giveBack(app, conversationId, reason = "expired") {
  await composed();
  const { store, outbox, thread, i18n, view } = app;
  const replies = outbox.of(conversationId).filter(({ isPrivate }) => !isPrivate);
  // What was written first stands first: so after the last of them, and in the bubbles until then. Elsewhere the row says "Not sent".
  if (view.openId !== conversationId || replies.some(({ state }) => ON_ITS_WAY.includes(state))) return;
  const conversation = store.conversation(conversationId) ?? {};
  // Until the next word of the server on this conversation: the page may have thought that it is open. Where it still has time the
  // customer has written since, and the answer is the older word; or the newer one is on its way here.
  if (!i18n.replyWindow(conversation).left) Object.assign(conversation, { replyWindow: "closed", replyClosedReason: reason });
  for (const { clientId, error } of replies.reverse()) {
    if (error?.code === "window_closed") thread.onEdit(outbox.discard(clientId), true);
  }
  setText(find("#status"), i18n.t("error.window_closed"));
  thread.paint();
}
