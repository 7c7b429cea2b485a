// What is told outside the conversations: unread at each view, in title, icon and app badge. Not painted per frame: a hidden tab
// gets no frames.

import { fillCount, find, throttle } from "./dom.js";

export function showUnread({ store, i18n }) {
  const icon = find("link[rel=icon]");
  const title = document.body.dataset.title;
  const show = () => {
    const counts = store.unreadByStatus();
    const all = counts.Open + counts.Closed;
    for (const link of document.querySelectorAll("a[data-view]")) fillCount(link, counts[link.dataset.view] ?? all, i18n);
    document.title = all ? i18n.t("title.unread", { n: all, title }) : title;
    icon.href = all ? icon.dataset.unread : icon.dataset.read;
    navigator.setAppBadge?.(all).catch(() => {}); // 0 takes it away
  };
  store.subscribe(throttle(show, 100));
  show();
}
