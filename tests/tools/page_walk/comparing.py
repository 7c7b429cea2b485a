"""Compares what a page shows with what the server answers to its agent."""

import asyncio
import time
from collections import Counter
from typing import Any

from playwright.async_api import Error

from tests.kit.eventually import scaled
from tests.tools.page_walk.agents import Agent, Tab

FLIGHT_SECONDS = 3.0  # of an event, on a busy machine
FIRST_PAGE = 50  # rows that a list has at least, where there are so many
EQUAL = "equal"
MOVING = "it changed while it was read"

SHOWN = """() => {
  const find = (selector) => document.querySelector(selector);
  const isHeld = !find("#moved").hidden; // the order stands still under the pointer, and says so
  const count = (node) => Number(node.querySelector("[data-f=count]:not([hidden])")?.textContent ?? 0);
  return {
    word: find("#chip").dataset.word,
    openId: Number(/^\\/inbox\\/c\\/(\\d+)$/.exec(location.pathname)?.[1] ?? 0),
    isLoading: find("#log").ariaBusy === "true",
    isInTrouble: !find("#thread-trouble").hidden,
    hasOlder: !find("#older").hidden,
    messages: [...document.querySelectorAll("#messages > li[id]")].map((node) => {
      const body = node.querySelector("[data-f=body]");
      return [Number(node.id.slice(1)), "deleted" in body.dataset ? null : body.textContent];
    }),
    rows: isHeld ? null : [...document.querySelectorAll("#rows > li")].map((node) => Number(node.dataset.key)),
    unread: [...document.querySelectorAll("#rows > li")].map((node) => [Number(node.dataset.key), count(node)]),
    views: Object.fromEntries([...document.querySelectorAll("a[data-view]")].map((node) => [node.dataset.view, count(node)])),
  };
}"""  # noqa: E501


class Judge:
    """`check()` and `look()`; then `counts` and `differences`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []

    def note(self, difference: str) -> None:
        self.differences.append(difference)
        print(difference, flush=True)

    async def check(self, agent: Agent, tab: Tab, when: str, *, is_patient: bool) -> bool:
        """Whether a live page becomes equal in the flight of an event; nobody writes meanwhile.

        `is_patient`: what is excused must be over when its time is."""
        if tab.thaw:
            return True
        began = time.monotonic()
        looks = 0
        while (found := await self.compare(agent, tab)) not in (EQUAL, None):
            looks += 1
            excused_until = max(agent.excused_until, tab.excused_until)
            if not is_patient and time.monotonic() < excused_until:
                self.counts[f"{when}: excused"] += 1
                return True
            if time.monotonic() > max(began, excused_until) + scaled(FLIGHT_SECONDS):
                self.note(f"{when}, {tab.page.url}: {found}")
                return False
            await asyncio.sleep(0.1)
        how = (
            "not live"
            if found is None
            else "equal after a moment"
            if looks
            else "equal at first look"
        )
        self.counts[f"{when}: {how}"] += 1
        return True

    async def look(self, agent: Agent, tab: Tab) -> None:
        """Nothing has happened for a while: a page that is live is equal now, without any delay."""
        found = await self.compare(agent, tab)
        if found not in (EQUAL, None):
            self.note(f"at rest, {tab.page.url}: {found}")
        self.counts["at rest: not live" if found is None else "at rest: looks while live"] += 1
        self.counts["at rest: equal at once"] += found == EQUAL

    async def compare(self, agent: Agent, tab: Tab) -> str | None:
        """EQUAL, what differs, or None where the page does not say that it is live."""
        try:
            shown = await tab.page.evaluate(SHOWN)
            if shown["word"] != "live":
                self.counts[f"said {shown['word']}"] += 1
                return None
            listed = (await agent.http.get("/api/conversations", params={"status": "Open"})).json()
            unread = (await agent.http.get("/api/conversations/unread")).json()
            number = shown["openId"]
            stored = (
                (await agent.http.get(f"/api/conversations/{number}/messages")).json()["messages"]
                if number
                else []
            )
            again = await tab.page.evaluate(SHOWN)
        except Error:  # a page that is just coming in
            return None
        if again["word"] != "live":
            return None
        self.counts["compared while live"] += 1
        if again != shown:
            return MOVING
        if shown["isInTrouble"]:
            self.counts["thread could not be had"] += 1  # and says so, with a button
            return _differing_rows(shown, listed)
        found = (
            _differing_rows(shown, listed)
            or _differing_messages(shown, stored)
            or _differing_unread(shown, listed, unread)
        )
        return found or EQUAL


def _differing_rows(shown: dict[str, Any], listed: list[dict[str, Any]]) -> str | None:
    rows, wanted = shown["rows"], [one["id"] for one in listed]
    if rows is None or (rows == wanted[: len(rows)] and len(rows) >= min(FIRST_PAGE, len(wanted))):
        return None
    return f"rows {rows} instead of {wanted}"


def _differing_messages(shown: dict[str, Any], stored: list[dict[str, Any]]) -> str | None:
    messages = shown["messages"]
    wanted = [[m["id"], None if m["deleted"] else m["content"]] for m in stored]
    if shown["isLoading"]:
        return "still loading"
    if not messages:
        return f"no message of {len(wanted)}" if wanted else None
    oldest = next((at for at, one in enumerate(wanted) if one[0] == messages[0][0]), 0)
    if wanted[oldest:] == messages:
        return "older ones cannot be had" if oldest and not shown["hasOlder"] else None
    missing = [one for one in wanted[oldest:] if one not in messages]
    surplus = [one for one in messages if one not in wanted[oldest:]]
    return (
        f"{len(messages)} messages instead of {len(wanted) - oldest}: lacks {missing[:5]}, "
        f"has {surplus[:5]}"
    )


def _differing_unread(
    shown: dict[str, Any], listed: list[dict[str, Any]], unread: dict[str, int]
) -> str | None:
    wanted = {one["id"]: one["unreadCount"] for one in listed}
    wrong = [
        (number, count, wanted[number])
        for number, count in shown["unread"]
        if count != wanted.get(number, count)
    ]
    if wrong:
        return f"unread (conversation, shown, stored): {wrong}"
    views = {**unread, "all": unread["Open"] + unread["Closed"]}
    return (
        None if shown["views"] == views else f"unread by view: {shown['views']} instead of {views}"
    )
