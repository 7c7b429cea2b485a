// Unread outside the conversations: at each view, in title, icon and app badge. Not painted per frame: a hidden tab gets
// no frames.

import { debounce, fillSlot, find } from "./dom.js";

export function showUnread({ store, i18n }) {
  const icon = find("link[rel=icon]");
  const title = document.body.dataset.title;
  const show = () => {
    const counts = store.unreadByStatus();
    const all = counts.Open + counts.Closed;
    for (const link of document.querySelectorAll("a[data-view]")) showCount(link, counts[link.dataset.view] ?? all, i18n);
    document.title = all ? i18n.t("title.unread", { n: all, title }) : title;
    icon.href = all ? icon.dataset.unread : icon.dataset.read;
    if (all) navigator.setAppBadge?.(all).catch(() => {});
    else navigator.clearAppBadge?.().catch(() => {});
  };
  store.subscribe(debounce(show, 100));
  show();
}

function showCount(link, count, i18n) {
  fillSlot(link, "count", count ? i18n.number(count) : "");
  fillSlot(link, "unread", count ? i18n.t("row.unread", { n: count }) : "");
}
