// Unread outside the page: title, icon, app badge. Not painted per frame: a hidden tab gets no frames.

import { debounce, find } from "./dom.js";

export function showUnread({ store, i18n }) {
  const icon = find("link[rel=icon]");
  const title = document.body.dataset.title;
  const show = () => {
    const count = store.totalUnread();
    document.title = count ? i18n.t("title.unread", { n: count, title }) : title;
    icon.href = count ? icon.dataset.unread : icon.dataset.read;
    if (count) navigator.setAppBadge?.(count).catch(() => {});
    else navigator.clearAppBadge?.().catch(() => {});
  };
  store.subscribe(debounce(show, 100));
  show();
}
