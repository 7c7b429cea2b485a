"""Each recorded kind of message in each place where it is met: REST, events, the thread as the
server prints it and as the page's scripts do, the row in the list, the notification, search, and
the count of what is unread.

What must be seen is written by hand in `tests/real/kinds.toml`.
"""

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.core.pages.page_forms import message_form, sender_of
from server.core.pages.page_locale import Locale
from server.core.state.message_kinds import FILE_KINDS
from server.core.state.message_kinds import KINDS as WORDS
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.printed import printed_messages
from tests.kit.recorded_kinds import EXPECTED, KINDS, webhooks
from tests.kit.servers import Servers

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
_APART = 1_000_000  # each kind has numbers of its own: the recordings share some
_SCRIPT = """
import { readFileSync } from "node:fs";
import { createI18n } from "ROOT/web/static/js/i18n.js";
import { messageForm, senderOf } from "ROOT/web/static/js/later/forms.js";
const { all, lang, digits, strings, kinds } = JSON.parse(readFileSync(0));
const i18n = createI18n({ lang, digits, strings, kinds });
console.log(JSON.stringify(all.map(({ messages, channel, preview }) => [preview && i18n.line(preview),
  ...messages.map((view) => [senderOf(view, i18n, channel), messageForm(view, i18n, undefined, channel), i18n.line(view)])])));
"""  # noqa: E501


@dataclass
class Seen:
    """One kind, as it was met. `pages`, `scripts`: by language, a text for each message."""

    row: Json = field(default_factory=dict)
    messages: list[Json] = field(default_factory=list)
    events: dict[int, Json] = field(default_factory=dict)
    pages: dict[str, dict[int, str]] = field(default_factory=dict)

    @property
    def last(self) -> Json:
        return self.messages[-1]


@dataclass
class Places:
    """All kinds in a company of theirs."""

    company: Company
    kinds: dict[str, Seen]

    def __getitem__(self, kind: str) -> Seen:
        return self.kinds[kind]


@pytest.fixture(scope="module")
async def places(servers: Servers, anyio_backend: str) -> AsyncIterator[Places]:
    """Every webhook of every kind is told to a server; then everything is looked at once."""
    async with Company(servers.get("embedded", None, None)) as company:
        async with company.socket() as socket:
            for place, kind in enumerate(KINDS, 1):
                await company.post_all([_moved(company, hook, place) for hook in webhooks(kind)])
            wanted = sum(len({hook["id"] for hook in KINDS[kind]["webhooks"]}) for kind in KINDS)
            await eventually(lambda: _has_all(company, wanted), limit=60)
            await socket.wait_for_seq(await company.head())
            messages = [
                message
                for event in socket.events
                if (message := event.data.get("message")) is not None
            ]
        kinds = {kind: Seen() for kind in KINDS}
        rows = {row["chatwootConversationId"]: row for row in await company.conversations()}
        for place, seen in enumerate(kinds.values(), 1):
            seen.row = rows[place]
            seen.messages = await company.thread(seen.row["id"])
            numbers = {message["id"] for message in seen.messages}
            seen.events = {one["id"]: one for one in messages if one["id"] in numbers}
        for lang in ("en", "bn"):
            await company.http.get(f"/inbox?lang={lang}")
            for seen in kinds.values():
                page = await company.http.get(f"/inbox/c/{seen.row['id']}")
                assert f'<html lang="{lang}"' in page.text
                seen.pages[lang] = printed_messages(page.text)
        yield Places(company, kinds)


async def _has_all(company: Company, count: int) -> bool:
    sql = (
        "SELECT COUNT(*) FROM social_messages m JOIN social_conversations c"
        " ON c.id = m.conversation_id WHERE c.company_id = :company"
    )
    [row] = await company.rows(sql, company=company.id)
    return int(row[0]) == count


def _moved(company: Company, hook: Json, place: int) -> Json:
    """The webhook with the numbers of this company, and of this kind alone."""
    conversation = {**hook["conversation"], "id": place, "inbox_id": company.inbox_id}
    attributes = dict(hook.get("content_attributes") or {})
    if attributes.get("in_reply_to"):
        attributes["in_reply_to"] += place * _APART
    return {
        **hook,
        "id": hook["id"] + place * _APART,
        "account": {"id": company.account_id},
        "inbox": {**hook["inbox"], "id": company.inbox_id},
        "conversation": conversation,
        "content_attributes": attributes,
    }


def _nodes_text(node: Any) -> str:
    """The same of nodes, as scripts make them."""
    if isinstance(node, str):
        return node
    if len(node) == 3 and isinstance(node[0], str) and isinstance(node[1], dict):
        name, attributes, inner = node
        shown = [
            value
            for key, value in attributes.items()
            if key in ("href", "src", "alt", "aria-label", "title") and value
        ]
        shown += ["data-sticker"] if "data-sticker" in attributes else []
        text = "".join(map(_nodes_text, inner))
        inline = ("strong", "em", "a", "span", "code", "del")
        return (
            text
            if name in inline and not shown
            else "\n".join((text, *shown)) + ("" if name in inline else "\n")
        )
    return "\n".join(map(_nodes_text, node))


@pytest.fixture(scope="module")
def scripts(places: Places) -> Mapping[str, Mapping[str, Any]]:
    """What the page's scripts make of each kind, by language: the row, then each message."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    made = {}
    for lang in ("en", "bn"):
        strings = _catalogue(lang)
        given = {
            "lang": lang,
            "digits": "beng" if lang == "bn" else "latn",
            "strings": strings,
            "kinds": WORDS,
            "all": [{**seen.row, "messages": seen.messages} for seen in places.kinds.values()],
        }
        done = subprocess.run(
            [node, "--input-type=module", "-e", _SCRIPT.replace("ROOT", ROOT.as_posix())],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=True,
        )
        made[lang] = dict(zip(places.kinds, json.loads(done.stdout), strict=True))
    return made


def _catalogue(lang: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((ROOT / f"web/locale/{lang}.json").read_text("utf-8"))
    return found


def _locale(lang: str) -> Locale:
    now = datetime.now(UTC)
    return Locale(lang, _catalogue(lang), UTC, now, has_bengali_digits=lang == "bn")


def _plain(text: str) -> str:
    return " ".join(text.split())


def _has(text: str, words: str) -> bool:
    return _plain(words) in _plain(text)


every_kind = pytest.mark.parametrize("kind", KINDS)


def test_each_kind_has_what_must_be_seen_of_it() -> None:
    """And nothing is written down for a kind that does not exist."""
    assert set(EXPECTED) == set(KINDS)


@every_kind
def test_by_rest(places: Places, kind: str) -> None:
    """A message says its kind, and has a text or a file; what is more stands in its fields."""
    expected, seen = EXPECTED[kind], places[kind]
    assert seen.last["kind"] == expected["kind"]
    assert seen.last["deliveryState"] == expected.get("state")
    assert (seen.last["editedAt"] or "")[:19] == _edited(kind)
    for message in seen.messages:
        assert message["content"].strip() or message["kind"] in FILE_KINDS
        assert message["kind"] in WORDS


def _edited(kind: str) -> str:
    return "2026-11-28T05:36:35" if kind in ("19-wa-quote", "20-wa-edited") else ""


@every_kind
def test_by_event(places: Places, kind: str) -> None:
    """The last event of each message has it as REST has it, field by field."""
    seen = places[kind]
    assert [seen.events[message["id"]] for message in seen.messages] == seen.messages


@every_kind
def test_in_the_thread_as_the_server_prints_it(places: Places, kind: str) -> None:
    """In both languages every message has a bubble with something in it."""
    expected, seen = EXPECTED[kind], places[kind]
    for lang in ("en", "bn"):
        assert list(seen.pages[lang]) == [message["id"] for message in seen.messages]
        assert all(text.strip() for text in seen.pages[lang].values())
    text = seen.pages["en"][seen.last["id"]]
    assert _has(text, expected["who"])
    for words in (*expected["bubble"], expected.get("reason", "")):
        assert _has(text, words), f"{words!r} is not in {text!r}"
    for words in expected.get("hidden", ()):
        assert not _has(text, words), f"{words!r} is in {text!r}"
    others = "\n".join(seen.pages["en"].values())
    for words in expected.get("texts", ()):
        assert _has(others, words), f"{words!r} is not in {others!r}"


@every_kind
def test_in_the_thread_as_the_scripts_print_it(
    places: Places, scripts: Mapping[str, Mapping[str, Any]], kind: str
) -> None:
    """The same nodes as the server's, and the same words."""
    expected, seen = EXPECTED[kind], places[kind]
    channel = seen.row["channel"]
    for lang in ("en", "bn"):
        locale = _locale(lang)
        for message, (sender, form, _) in zip(seen.messages, scripts[lang][kind][1:], strict=True):
            ours = msgspec.to_builtins(message_form(message, locale, None, channel))
            assert form == ours
            assert any(form.values())
            assert sender == sender_of(message, locale, channel)
    sender, form, _ = scripts["en"][kind][-1]
    assert sender == expected["who"]
    text = "\n".join(_nodes_text(nodes) for nodes in form.values())
    for words in expected["bubble"]:
        assert _has(text, words), f"{words!r} is not in {text!r}"


@every_kind
def test_in_the_list(places: Places, scripts: Mapping[str, Mapping[str, Any]], kind: str) -> None:
    """The row says what came, in the reader's language, whoever prints it. A note is no news."""
    seen, preview = places[kind], places[kind].row["preview"]
    if seen.last["private"]:
        assert preview is None or preview["content"] != seen.last["content"]
        return
    for lang in ("en", "bn"):
        line = _locale(lang).line(preview.get("kind"), preview["content"])
        assert line.strip()
        assert scripts[lang][kind][0] == line
    line = _locale("en").line(preview.get("kind"), preview["content"])
    assert _plain(line) == EXPECTED[kind].get("row", EXPECTED[kind]["line"])


@every_kind
def test_in_a_notification(scripts: Mapping[str, Mapping[str, Any]], kind: str) -> None:
    """It says what came; what the customer answered later is in the row."""
    expected = EXPECTED[kind]
    line = _plain(scripts["en"][kind][-1][2])
    whole = expected.get("notice") or expected["line"]
    assert line
    assert line == whole or whole.startswith(f"{line} · ")
    assert all(_plain(one[2]) for one in scripts["bn"][kind][1:])


@every_kind
async def test_by_search(places: Places, kind: str) -> None:
    """Its words find its conversation."""
    number = places[kind].row["id"]
    for words in EXPECTED[kind]["find"]:
        assert number in [row["id"] for row in await places.company.conversations(q=words)], words


@every_kind
def test_nothing_is_counted_unread_that_cannot_be_seen(places: Places, kind: str) -> None:
    """As many as there are bubbles of the customer."""
    seen = places[kind]
    inbound = [one["id"] for one in seen.messages if one["senderType"] == "customer"]
    assert seen.row["inboundCount"] == len(inbound)
    assert set(inbound) <= set(seen.pages["en"])
