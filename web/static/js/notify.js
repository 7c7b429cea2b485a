// What is told outside the conversations: how much is in each view, in title, icon and app badge. Not painted per frame: a hidden tab
// gets no frames.

import { fillCount, find, setText, slot, throttle } from "./dom.js";

export function showUnread({ store, outbox, i18n }) {
  const icon = find("link[rel=icon]");
  const title = document.body.dataset.title;
  const show = () => {
    const counts = store.counts();
    const all = counts.Open + counts.Closed;
    for (const id of outbox.failed()) if (!store.conversation(id)?.unsentReply) counts.unsent++;
    for (const link of document.querySelectorAll("a[data-view]")) {
      const n = counts[link.dataset.view] ?? all;
      fillCount(link, n, i18n);
      if (link.dataset.view !== "unsent") continue;
      setText(slot(link, "unread"), i18n.number(n));
      link.hidden = !n && !link.ariaCurrent;
    }
    document.title = all ? i18n.t("title.unread", { n: all, title }) : title;
    icon.href = all ? icon.dataset.unread : icon.dataset.read;
    navigator.setAppBadge?.(all).catch(() => {}); // 0 takes it away
  };
  store.subscribe(throttle(show, 100));
  show();
}
