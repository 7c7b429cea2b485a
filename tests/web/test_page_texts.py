"""What the server prints of times, names and errors, and how it groups messages: pure rules, tried
without a server.
"""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server.core.pages.page_attachments import attachment_nodes
from server.core.pages.page_locale import Locale, Wait, preferred_language
from server.core.pages.page_marks import head_marks, row_marks
from server.core.pages.page_nodes import html
from server.core.pages.page_thread import arrange

CATALOGUES = Path(__file__).parents[2] / "web" / "locale"
ICONS = (CATALOGUES.parent / "templates" / "_icons.html").read_text(encoding="utf-8")
NOW = datetime(2026, 7, 18, 9, 1, tzinfo=UTC)  # 15:01 in Dhaka
ENGLISH, BENGALI = (
    Locale(
        lang,
        json.loads((CATALOGUES / f"{lang}.json").read_text(encoding="utf-8")),
        ZoneInfo("Asia/Dhaka"),
        NOW,
        lang == "bn",
    )
    for lang in ("en", "bn")
)


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat()


def message(number: int, sent: str, sender: str = "customer", **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "createdAt": sent,
        "senderType": sender,
        "senderName": sender,
        "private": False,
        "clientId": None,
        "chatwootMessageId": number,
        "deleted": False,
        "content": "text",
        **more,
    }


@pytest.mark.parametrize(
    ("span", "english", "bengali"),
    [
        ({"minutes": 1}, "15:00", "১৫:০০"),
        ({"hours": 15, "minutes": 2}, "Yesterday", "গতকাল"),
        ({"days": 3}, "15 Jul", "১৫ জুলাই"),
        ({"days": 365}, "18 Jul 2025", "১৮ জুলাই ২০২৫"),
    ],
)
def test_list_times_are_as_short_as_they_can_be(
    span: dict[str, float], english: str, bengali: str
) -> None:
    """The clock today, then the day, in the agent's zone; the year only where it is another."""
    assert (ENGLISH.list_time(ago(**span)), BENGALI.list_time(ago(**span))) == (english, bengali)


@pytest.mark.parametrize(
    ("span", "wait"),
    [
        ({"minutes": 14.9}, None),
        ({"minutes": 15}, Wait("warn", "15 min")),
        ({"minutes": 60}, Wait("bad", "1 h")),
        ({"hours": 47.9}, Wait("bad", "47 h")),
        ({"hours": 48}, Wait("bad", "2 days")),
    ],
)
def test_waiting_is_told_from_a_quarter_of_an_hour_on(
    span: dict[str, float], wait: Wait | None
) -> None:
    """Below that a number would only be noise."""
    assert ENGLISH.waiting(ago(**span)) == wait


def test_nothing_is_known_of_rows_without_times() -> None:
    """Rows of the CRM from before may have none."""
    assert (
        ENGLISH.list_time(None),
        ENGLISH.waiting(None),
        ENGLISH.preview(None),
        ENGLISH.initial(""),
    ) == ("", None, "", "")


def test_zero_is_one_in_bengali() -> None:
    """CLDR: in Bengali 0 takes the singular."""
    texts = {"x.one": "one {n}", "x.other": "other {n}"}
    assert [replace(ENGLISH, catalogue=texts).t("x", n=n) for n in (0, 1, 2)] == [
        "other 0",
        "one 1",
        "other 2",
    ]
    assert [replace(BENGALI, catalogue=texts).t("x", n=n) for n in (0, 1, 2)] == [
        "one ০",
        "one ১",
        "other ২",
    ]


def test_reasons_known_by_code_are_told_in_the_agents_language() -> None:
    """Others are told as they came; none at all is still a sentence."""
    known, unknown = (
        {"code": "chatwoot_404", "message": "gone"},
        {"code": "odd", "message": "As Chatwoot put it"},
    )
    assert BENGALI.reason(known) == BENGALI.catalogue["error.chatwoot_404"]
    assert (BENGALI.reason(unknown), ENGLISH.reason(None)) == (
        "As Chatwoot put it",
        "It did not work. Try again.",
    )


def test_a_name_that_the_catalogue_lacks_is_its_own_word() -> None:
    """Chatwoot may name priorities and reasons that we do not know: they end no page."""
    conversation = {"assignee": None, "priority": "blocker", "labels": ["vip"]}
    shown = [mark.text for mark in head_marks(conversation, ENGLISH, has_inboxes=True)]
    assert shown == [ENGLISH.t("thread.unassigned"), "blocker", "vip"]
    closed = {"canReply": False, "replyUntil": None, "replyWindow": "closed"}
    assert BENGALI.reply_window(closed | {"replyClosedReason": "on_holiday"}).text == "on_holiday"


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "//host/x", " https://x"],
)
def test_only_web_addresses_become_links(url: str) -> None:
    """Attachments' addresses come from outside."""
    for name in ("url", "link"):
        sent = {"type": "file", "name": "x", name: url}
        assert attachment_nodes({"id": 1, "attachments": [sent]}, ENGLISH) == []


def test_groups_end_with_their_sender_their_day_and_after_a_pause() -> None:
    """One name and one time stand for a group."""
    items = arrange(
        [
            message(1, ago(days=1)),
            message(2, ago(minutes=20)),
            message(3, ago(minutes=16)),
            message(4, ago(minutes=10)),
            message(5, ago(minutes=9), "agent"),
            message(6, ago(minutes=8), "agent", private=True),
        ],
        0,
        ENGLISH,
    )
    assert [item.is_start for item in items] == [True, True, False, True, True, True]
    assert [item.is_end for item in items] == [True, False, True, True, True, True]
    assert [item.day for item in items] == ["Yesterday", "Today", None, None, None, None]
    assert [item.side for item in items] == ["theirs"] * 4 + ["mine", "note"]


def test_the_divider_stands_before_the_first_unread() -> None:
    """Only what customers wrote counts; it begins a group."""
    sent = [message(n, ago(minutes=3), "agent" if n == 3 else "customer") for n in range(1, 5)]
    items = arrange(sent, 2, ENGLISH)
    assert [item.is_new for item in items] == [False, True, False, False]
    assert items[1].is_start
    assert not any(item.is_new for item in arrange(sent, 0, ENGLISH))


def test_the_divider_stands_before_what_came_last() -> None:
    """Chatwoot's numbers say what that is, where all have one: its time may be an old one."""
    sent = [message(n, ago(minutes=3)) for n in range(1, 5)]
    for one, number in zip(sent, (11, 14, 12, 13), strict=True):
        one["chatwootMessageId"] = number
    assert [item.is_new for item in arrange(sent, 1, ENGLISH)] == [False, True, False, False]
    assert [item.is_new for item in arrange(sent, 2, ENGLISH)] == [False, True, False, False]
    sent[0]["chatwootMessageId"] = None
    assert [item.is_new for item in arrange(sent, 1, ENGLISH)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("accepted", "lang"),
    [
        ("bn-BD,bn;q=0.9,en;q=0.8", "bn"),
        ("de, en;q=0.2, bn;q=0.3", "bn"),
        ("", "en"),
        ("x;q=y", "en"),
    ],
)
def test_the_browsers_first_known_language_is_taken(accepted: str, lang: str) -> None:
    """By weight, then by place; anything malformed is passed over."""
    assert preferred_language(accepted) == lang


def test_files_are_fetched_through_the_server() -> None:
    """Foreign addresses expire, and tell strangers who reads them."""
    kinds = [
        {"type": "image", "url": "https://x/a", "thumbUrl": "https://x/t"},
        {"type": "location", "url": "http://x/b", "name": "Here"},
    ]
    shown = html(attachment_nodes({"id": 7, "attachments": kinds}, ENGLISH))
    image, other = shown.split("</li>")[:2]
    assert 'href="/api/attachments/7/0"' in image
    assert 'src="/api/attachments/7/0/thumb"' in image
    assert 'alt="Image"' in image
    assert 'href="/api/attachments/7/1"' in other
    assert ">Here</a>" in other


@pytest.mark.parametrize(
    ("more", "closed", "text"),
    [
        ({}, False, ""),
        (
            {"replyWindow": "open", "replyUntil": ago(minutes=-130)},
            False,
            "The channel takes replies for 2 h more.",
        ),
        (
            {"replyWindow": "open", "replyUntil": ago(minutes=-12)},
            False,
            "The channel takes replies for 12 min more.",
        ),
        (
            {"replyWindow": "open", "replyUntil": ago(minutes=1)},
            True,
            ENGLISH.catalogue["window.expired"],
        ),
        (
            {"replyWindow": "closed", "replyClosedReason": "no_message"},
            True,
            ENGLISH.catalogue["window.no_message"],
        ),
        (
            {"replyWindow": "closed", "replyClosedReason": "channel"},
            True,
            ENGLISH.catalogue["window.channel"],
        ),
        (
            {"replyWindow": "open", "replyUntil": ago(minutes=1), "channel": "Channel::Instagram"},
            False,
            ENGLISH.catalogue["window.perhaps"],
        ),
        ({"canReply": False}, False, ""),
    ],
)
def test_the_reply_window_counts_down_and_says_why_it_is_closed(
    more: dict[str, Any], closed: bool, text: str
) -> None:
    """Also when it closed since the last event. What Chatwoot said before the customer wrote again
    (`canReply`) counts no more, and Meta's channels may have a longer window.
    """
    told = ENGLISH.reply_window(
        {"canReply": True, "replyUntil": None, "replyWindow": None, "replyClosedReason": None}
        | more
    )
    assert (told.is_closed, told.text) == (closed, text)


def marked(**more: Any) -> dict[str, Any]:
    return {"status": "Open", "chatwootStatus": "open", **more}


@pytest.mark.parametrize(
    ("span", "english", "bengali"),
    [
        ({"minutes": -5}, "15:06", "১৫:০৬"),
        ({"hours": -8, "minutes": -59}, "tomorrow 00:00", "আগামীকাল ০০:০০"),
        ({"hours": -32, "minutes": -58}, "tomorrow 23:59", "আগামীকাল ২৩:৫৯"),
        ({"days": -2}, "20 Jul, 15:01", "২০ জুলাই, ১৫:০১"),
        ({"days": -365}, "18 Jul 2027, 15:01", "১৮ জুলাই ২০২৭, ১৫:০১"),
    ],
)
def test_a_snooze_is_told_until_when(span: dict[str, float], english: str, bengali: str) -> None:
    """The clock today, tomorrow by its name, then the day, in the agent's zone and words."""
    snoozed = marked(chatwootStatus="snoozed", snoozedUntil=ago(**span))
    for locale, time in ((ENGLISH, english), (BENGALI, bengali)):
        mark = row_marks(snoozed, locale, has_inboxes=False)["status"]
        assert mark is not None
        assert mark.text == (time if span.get("days") is None else time.rpartition(",")[0])
        assert mark.title == locale.t("mark.snoozedUntil", time=time)


@pytest.mark.parametrize(
    ("conversation", "text", "title"),
    [
        ({"channel": "Channel::Whatsapp"}, "", "WhatsApp"),
        ({"channel": "Channel::Email", "inboxName": "Support"}, "Support", "E-mail: Support"),
        ({"channel": "Channel::Email", "inboxName": "Email"}, "Email", "Email"),
        ({"channel": "Channel::Whatsapp", "inboxName": "whatsApp"}, "whatsApp", "whatsApp"),
        ({"channel": "Channel::Line", "inboxName": "Linen"}, "Linen", "LINE: Linen"),
        (
            {"channel": "Channel::Whatsapp", "inboxName": "WhatsApp 360"},
            "WhatsApp 360",
            "WhatsApp 360",
        ),
        ({"channel": "Channel::Fax"}, "", "Fax"),
        ({"channel": None, "platform": "facebook"}, "", "Messenger"),
    ],
)
def test_a_channel_is_told_in_words(conversation: dict[str, Any], text: str, title: str) -> None:
    """Also one that is not known here, and that of a row that the CRM wrote."""
    mark = row_marks(marked(**conversation), ENGLISH, has_inboxes=True)["channel"]
    assert mark is not None
    assert (mark.text, mark.title) == (text, title)
    assert re.search(rf'"{mark.icon.removeprefix("channel-")}"', ICONS)


def test_a_name_that_says_its_channel_is_told_alone() -> None:
    """In the head as in the row, also where the page's own word is of another language."""
    named = marked(channel="Channel::Sms", inboxName="SMS")
    assert [mark.text for mark in head_marks(named, BENGALI, has_inboxes=True)] == [
        "SMS",
        "কেউ নেননি",
    ]


def test_one_inbox_needs_no_name() -> None:
    """Its name would be the same in every row."""
    email = marked(channel="Channel::Email", inboxName="Support")
    mark = row_marks(email, ENGLISH, has_inboxes=False)["channel"]
    assert mark is not None
    assert (mark.text, mark.title) == ("", "E-mail")


def test_a_closed_conversation_sleeps_no_more() -> None:
    """What is over is no snooze and no bot's, and is not waited for."""
    over = marked(status="Closed", chatwootStatus="snoozed", snoozedUntil=ago(hours=-1))
    assert row_marks(over, ENGLISH, has_inboxes=True)["status"] is None
