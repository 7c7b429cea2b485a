"""The messages of a thread with what is shown around them: groups, days, the "new" divider.
static/js/message.js does the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from server.core.pages.page_forms import MessageForm, message_form, sender_of
from server.core.pages.page_locale import JsonObject, Locale, is_group, moment_of

GROUP_SPAN = timedelta(minutes=5)  # messages of one sender within this stand together

_OF_SENDER = ("senderType", "senderKind", "senderName", "private")


@dataclass(frozen=True)
class ThreadItem:
    """A message with what is shown around it."""

    message: JsonObject
    sender: str
    form: MessageForm
    key: str
    side: str
    day: str | None
    is_new: bool
    is_start: bool
    is_end: bool


def arrange(
    messages: Sequence[JsonObject],
    unread_count: int,
    locale: Locale,
    *,
    conversation: JsonObject | None = None,
) -> list[ThreadItem]:
    """Groups of one sender, days, and the divider before the first of the `unread_count` customer
    messages that came last.
    """
    of = conversation or {}
    channel, customer = of.get("channel"), None if is_group(of) else of.get("externalUserName")
    by_number = {message["chatwootMessageId"]: message for message in messages}
    first_new = _first_new(messages, unread_count)
    days = [locale.day(message["createdAt"]) for message in messages]
    changes = [True] + [a != b for a, b in pairwise(days)]
    starts = [
        changes[index]
        or message["id"] == first_new
        or not _is_same_group(messages[index - 1], message)
        for index, message in enumerate(messages)
    ]
    return [
        ThreadItem(
            message=message,
            sender=sender_of(message, locale, channel, customer),
            form=message_form(message, locale, by_number.get(_quoted_number(message)), channel),
            key=f"c-{message['clientId']}" if message.get("clientId") else f"m-{message['id']}",
            side="note"
            if message["private"]
            else "mine"
            if message["senderType"] == "agent"
            else "theirs",
            day=days[index] if changes[index] else None,
            is_new=message["id"] == first_new,
            is_start=starts[index],
            is_end=index + 1 == len(messages) or starts[index + 1],
        )
        for index, message in enumerate(messages)
    ]


def _first_new(messages: Sequence[JsonObject], unread_count: int) -> int | None:
    """Chatwoot numbers messages as they come; the time of one may be older than of those before
    it.
    """
    inbound = [message for message in messages if message["senderType"] == "customer"]
    came = inbound
    if all(message["chatwootMessageId"] for message in inbound):
        came = sorted(inbound, key=lambda message: int(message["chatwootMessageId"]))
    news = {message["id"] for message in came[-unread_count:]} if unread_count else set()
    return next((message["id"] for message in inbound if message["id"] in news), None)


def _quoted_number(message: JsonObject) -> int | None:
    quote = (message.get("details") or {}).get("quote") or {}
    return quote.get("chatwootMessageId") or 0


def _is_same_group(before: JsonObject, message: JsonObject) -> bool:
    same = all(before.get(name) == message.get(name) for name in _OF_SENDER)
    return same and moment_of(message["createdAt"]) - moment_of(before["createdAt"]) <= GROUP_SPAN
