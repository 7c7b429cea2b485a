"""What marks a conversation in its row and in the head of its thread: channel and inbox, team, a
snooze, a block. static/js/later/marks.js makes the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

from server.core.pages.page_locale import JsonObject, Locale

# what an agent sleeps on, or a bot has: no customer waits for us
ASLEEP = ("snoozed", "pending")
# in the order of the row; where room is short the first gives way first
_ROW = ("team", "status", "barrier")


@dataclass(frozen=True)
class Mark:
    """`icon`: of _icons.html. `text`: what is printed beside it. `title`: all of it in words.
    `href`: where it leads.
    """

    text: str
    icon: str = ""
    title: str = ""
    href: str = ""


def row_marks(c: JsonObject, locale: Locale, *, has_inboxes: bool) -> dict[str, Mark | None]:
    """Return the marks of a conversation's row, by the names of their slots. `has_inboxes`: the
    company has more than one, so that their names tell something.
    """
    found = {"channel": _channel(c, locale, has_inboxes=has_inboxes)}
    return found | {name: _MARKS[name](c, locale) for name in _ROW}


def head_marks(c: JsonObject, locale: Locale, *, has_inboxes: bool) -> list[Mark]:
    """Return the chips above a thread: what went wrong, what keeps the conversation, where it comes
    from, who has it, how urgent it is, and its labels.
    """
    marks = [
        _unsent(c, locale),
        _status(c, locale, is_whole=True),
        _barrier(c, locale, is_whole=True),
        _channel(c, locale, has_inboxes=has_inboxes, is_whole=True),
        _team(c, locale),
    ]
    assignee, priority = c.get("assignee") or {}, c.get("priority")
    texts = [
        assignee.get("name") or locale.t("thread.unassigned"),
        locale.word("priority", priority) if priority else "",
        *(c.get("labels") or []),
    ]
    return [mark for mark in marks if mark] + [Mark(text) for text in texts if text]


def _unsent(c: JsonObject, locale: Locale) -> Mark | None:
    unsent = c.get("unsentReply")
    if not unsent:
        return None
    return Mark(locale.t("row.failed"), "unsent", href=f"#m{unsent['messageId']}")


def _channel(
    c: JsonObject, locale: Locale, *, has_inboxes: bool, is_whole: bool = False
) -> Mark | None:
    """The channel's icon and, where there are several, the inbox's name. A row of the CRM's own has
    no channel, but a platform.
    """
    channel = (c.get("channel") or "").removeprefix("Channel::")
    if not channel and c.get("platform") == "facebook":
        channel = "FacebookPage"
    if not channel:
        return None
    keys = (f"appName.{channel}", f"channel.{channel}")
    key = next((key for key in keys if key in locale.catalogue), None)
    word = locale.t(key) if key else channel
    inbox = c.get("inboxName") if has_inboxes else None
    title = locale.t("mark.inbox", channel=word, inbox=inbox) if inbox else word
    if inbox and _says(inbox, (word, channel)):
        title = inbox
    text = title if is_whole else inbox or ""
    return Mark(text, f"channel-{channel if key else 'other'}", title)


def _says(inbox: str, words: tuple[str, ...]) -> bool:
    """Whether an inbox's name is its channel's word, or begins with it."""
    name, *plain = (f"{text} ".lower().replace("-", "") for text in (inbox, *words))
    return any(name.startswith(word) for word in plain)


def _team(c: JsonObject, locale: Locale) -> Mark | None:
    name = (c.get("team") or {}).get("name")
    return Mark(name, "team", locale.t("mark.team", name=name)) if name else None


def _status(c: JsonObject, locale: Locale, *, is_whole: bool = False) -> Mark | None:
    status = c.get("chatwootStatus")
    if status not in ASLEEP or c["status"] != "Open":
        return None
    until = c.get("snoozedUntil")
    short = _moment(until, locale, is_whole=False) if until else locale.t(f"mark.{status}")
    if status == "pending":
        title = locale.t("mark.pendingWhy")
    elif until:
        title = locale.t("mark.snoozedUntil", time=_moment(until, locale))
    else:
        title = locale.t("mark.snoozedFor")
    return Mark(title if is_whole and status == "snoozed" else short, status, title)


def _barrier(c: JsonObject, locale: Locale, *, is_whole: bool = False) -> Mark | None:
    """One of the two: a muted conversation's customer is blocked, too."""
    name = "muted" if c.get("isMuted") else "blocked" if c.get("isBlocked") else None
    if name is None:
        return None
    return Mark(locale.t(f"mark.{name}") if is_whole else "", name, locale.t(f"mark.{name}Why"))


_MARKS: dict[str, Callable[[JsonObject, Locale], Mark | None]] = {
    "team": _team,
    "status": _status,
    "barrier": _barrier,
}


def _moment(iso: str, locale: Locale, *, is_whole: bool = True) -> str:
    """A moment to come as one says it: `14:30`, `tomorrow 09:00`, `3 Dec, 09:00`; `3 Dec` where
    it need not be whole.
    """
    clock = locale.clock(iso)
    if locale.day(iso) == locale.t("time.today"):
        return clock
    if locale.is_tomorrow(iso):
        return locale.t("time.tomorrow", time=clock)
    return f"{locale.day(iso)}, {clock}" if is_whole else locale.day(iso)
