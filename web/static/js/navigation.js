// What is shown is in the address: filter, search, open conversation. Links stay links (new tab, copy, no script);
// a plain click only saves the page load.

import { debounce, find } from "./dom.js";

// -> {status: "Open" | "Closed" | null (all), platform (null: all), q, unsent: "true" (what was not sent alone) or null, openId: number | null}
export function readView({ pathname, search }) {
  const params = new URLSearchParams(search);
  const status = params.get("status");
  return {
    status: status === "all" ? null : status === "Closed" ? "Closed" : "Open",
    platform: params.get("platform") || null,
    q: (params.get("q") ?? "").trim(),
    unsent: params.get("unsent"),
    openId: Number(/^\/inbox\/c\/(\d+)$/.exec(pathname)?.[1]) || null,
  };
}

// The query that keeps the filter; nothing for the ordinary one.
export function queryOf({ status, ...more }) {
  const params = new URLSearchParams();
  if (status !== "Open") params.set("status", status ?? "all");
  for (const name of ["platform", "q", "unsent"]) if (more[name]) params.set(name, more[name]);
  return params.size ? `?${params}` : "";
}

const addressOf = (view) => (view.openId ? `/inbox/c/${view.openId}` : "/inbox") + queryOf(view);

export class Navigation {
  #onView;
  view = readView(location);

  // `onView(view, before)`: called after every change.
  constructor(onView) {
    this.#onView = onView;
    document.addEventListener("click", (event) => this.#onClick(event));
    window.addEventListener("popstate", () => this.#become(readView(location)));
    const field = find("#q");
    const search = () => this.go({ q: field.value.trim() }, "replaceState");
    field.addEventListener("input", debounce(search, 300));
    field.form.platform.addEventListener("change", ({ target }) => this.go({ platform: target.value || null }));
    field.form.addEventListener("submit", (event) => {
      event.preventDefault();
      search();
    });
  }

  go(change, how = "pushState") {
    const view = { ...this.view, ...change };
    if (addressOf(view) === addressOf(this.view)) return;
    history[how](null, "", addressOf(view) + (change.hash ?? ""));
    this.#become(view);
  }

  // What was typed or chosen before there was a listener. What is no option of the form is no choice.
  catchUp() {
    const { q, platform } = find("#q").form;
    const isChosen = platform.value !== (find("[selected]", platform)?.value ?? "");
    this.go({ q: q.value.trim(), ...(isChosen && { platform: platform.value || null }) }, "replaceState");
  }

  #onClick(event) {
    const link = event.target.closest("a[data-nav], #rows a");
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.go({ ...readView(link), hash: link.hash });
  }

  #become(view) {
    const before = this.view;
    this.view = view;
    const { q, platform } = find("#q").form;
    if (q.value.trim() !== view.q) q.value = view.q;
    platform.value = view.platform ?? "";
    this.#onView(view, before);
  }
}
