"""Messages that say more than a text, and conversations that change, as Chatwoot tells of them:
what must be seen of each. The inputs are those of `tests/payloads/cases.jsonl.gz`.
"""

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from server.core.chatwoot.edits import is_other_text
from server.core.chatwoot.message_payloads import parse_message
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.printed import printed_messages
from tests.kit.servers import Servers
from tests.kit.webhook import PAYLOADS

Json = dict[str, Any]


def _read() -> dict[str, Json]:
    with gzip.open(PAYLOADS / "cases.jsonl.gz", "rt", encoding="utf-8") as lines:
        return {one["case"]: one for one in map(json.loads, lines)}


CASES = _read()


@dataclass
class Outcome:
    """One case after all its webhooks: REST's row, its messages, and what each bubble says."""

    row: Json
    messages: list[Json]
    bubbles: list[str]
    page: str

    @property
    def bubble(self) -> str:
        """The last one."""
        return " ".join(self.bubbles[-1].split())


@pytest.fixture(scope="module")
async def told(servers: Servers, anyio_backend: str) -> AsyncIterator[Company]:
    """A company to whose webhook every case is told, in its order."""
    async with Company(servers.get("embedded", None, None)) as company:
        for case in CASES.values():
            deliveries = [await company.post(_addressed(company, one)) for one in case["webhooks"]]
            for delivery in deliveries:
                assert (await company.outcome(delivery)).state == "done", case["case"]
        await company.http.get("/inbox?lang=en")
        yield company


def _addressed(company: Company, payload: Json) -> Json:
    """The payload to this company's inbox."""
    addressed = {**payload, "account": {"id": company.account_id}}
    if "inbox" in payload:
        addressed["inbox"] = {**payload["inbox"], "id": company.inbox_id}
    for place in (addressed, addressed.get("conversation") or {}):
        if "inbox_id" in place:
            place["inbox_id"] = company.inbox_id
    return addressed


async def _outcome(company: Company, case: str) -> Outcome:
    hooks = CASES[case]["webhooks"]
    number = hooks[0]["conversation"]["id"]
    row = next(
        one for one in await company.conversations() if one["chatwootConversationId"] == number
    )
    page = (await company.http.get(f"/inbox/c/{row['id']}")).text
    return Outcome(
        row, await company.thread(row["id"]), list(printed_messages(page).values()), page
    )


@pytest.mark.parametrize(
    ("case", "words", "hidden"),
    [
        ("whatsapp-location-pin", ["Open the map (23.810300, 90.412500)"], ["File"]),
        ("location-without-address", ["Open the map (23.780800, 90.279200)"], ["File"]),
        ("telegram-contact-card", ["Shahin Alam", "tel:+8801819003344"], []),
        ("bot-question-and-its-answer", ["How can we help?", "Delivery", "Return (chosen)"], []),
        ("choice-of-the-customer", ["Which branch?", "A", "B (chosen)"], ["A (chosen)"]),
        ("satisfaction-rated", ["★★☆☆☆", "2 of 5 stars", "Came late"], []),
        ("customer-quotes-a-message", ["I take this one", "The blue one is 1,200 Taka."], []),
        (
            "email-with-subject-and-copies",
            ["Invoice 4471 is wrong", "accounts@customer.example", "boss@customer.example"],
            [],
        ),
        ("mail-with-html-only", ["Only HTML", "The text is only here"], ["<p>"]),
        ("file-with-a-bengali-name", ["রসিদ মার্চ ২০২৬.pdf"], ["%E0"]),
        ("note-that-names-a-colleague", ["@Tanvir Hasan can you call her?"], ["mention:"]),
        (
            "facebook-shared-post",
            ["Eid collection 2026", "https://www.facebook.com/northwind.example/posts/10159"],
            ["/api/attachments/"],
        ),
        (
            "voice-message-with-transcript",
            ["/api/attachments/", "আমার অর্ডারটা বাতিল করুন"],
            [],
        ),
        (
            "formatted-reply-of-the-dashboard",
            ["Yes. See our page", "https://shop.northwind.example/p/77", "CODE5"],
            ["**", "`", "]("],
        ),
        ("email-left-in-the-chat", ["rafi@customer.example"], []),
        ("html-of-chatwoot-4.4-to-4.12", ["It is 1,200 Taka & in stock."], ["<p>", "&amp;"]),
        ("unsupported-message", ["Cannot be shown here: open the customer’s app"], []),
        ("merged-contact", ["after the merge", "R. K."], []),
    ],
)
async def test_the_thread_shows(
    told: Company, case: str, words: list[str], hidden: list[str]
) -> None:
    """What came, in words or as what it is."""
    outcome = await _outcome(told, case)
    for one in words:
        assert one in outcome.bubble, f"{one!r} is not in {outcome.bubble!r}"
    for one in hidden:
        assert one not in outcome.bubble, f"{one!r} is in {outcome.bubble!r}"


async def test_cards_and_articles_have_their_links(told: Company) -> None:
    """Title, text, price and where they lead; and no word of Chatwoot's in their place."""
    outcome = await _outcome(told, "cards-and-articles")
    card, article = (" ".join(bubble.split()) for bubble in outcome.bubbles)
    for words in ("Silk sari", "2,400 Taka", "Look", "https://shop.northwind.example/p/77"):
        assert words in card
    for words in ("How to return", "Within 7 days", "/help/return"):
        assert words in article
    assert "articles" not in article
    assert outcome.row["preview"] == {
        "content": "Articles",
        "senderType": "agent",
        "hasAttachments": False,
        "kind": "articles",
    }


async def test_each_message_says_what_wrote_it(told: Company) -> None:
    """A bot, the assistant, an automation, a campaign, a greeting."""
    outcome = await _outcome(told, "bot-captain-automation-and-campaign")
    kinds = [message["senderKind"] for message in outcome.messages]
    assert kinds == ["bot", "assistant", "automation", "campaign", "automatic"]
    assert all(message["senderType"] == "agent" for message in outcome.messages)
    names = ("Shop Bot · Bot", "Captain · Assistant", "Automation", "Campaign", "automatic")
    for name, bubble in zip(names, outcome.bubbles, strict=True):
        assert name in bubble


async def test_the_quoted_part_of_a_mail_is_folded(told: Company) -> None:
    """The customer's own words stand alone; the older mail is behind a button."""
    outcome = await _outcome(told, "email-with-subject-and-copies")
    body = outcome.page.split('data-f="body"')[1].split('data-f="after"')[0]
    own, folded = body.split("<details>")
    assert "The VAT on page 2 is wrong." in own
    assert "Dear Omar" not in own
    assert "Dear Omar" in folded


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("bot-question-and-its-answer", "How can we help? · Return"),
        ("choice-of-the-customer", "Which branch? · B"),
        ("email-left-in-the-chat", "Get notified by email · rafi@customer.example"),
        ("telegram-contact-card", "Contact: Shahin Alam"),
        ("mail-with-html-only", "The text is only here"),
        ("html-of-chatwoot-4.4-to-4.12", "It is **1,200** Taka & in stock."),
    ],
)
async def test_the_row_says(told: Company, case: str, line: str) -> None:
    """The newest message in one line, with the answer to a question."""
    assert (await _outcome(told, case)).row["preview"]["content"] == line


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("voice-message-with-transcript", "বাতিল করুন"),
        ("telegram-contact-card", "shahin alam"),
        ("email-with-subject-and-copies", "boss@customer.example"),
        ("satisfaction-rated", "came late"),
        ("mail-with-html-only", "only here"),
    ],
)
async def test_search_finds(told: Company, case: str, words: str) -> None:
    """What was said, filled in or attached."""
    number = (await _outcome(told, case)).row["id"]
    assert number in [row["id"] for row in await told.conversations(q=words)]


async def test_what_a_conversation_became_is_in_its_row(told: Company) -> None:
    """Snoozed, handed to a team, its customer named, an address left in the chat."""
    snoozed = (await _outcome(told, "snoozed-until-monday")).row
    assert snoozed["chatwootStatus"] == "snoozed"
    assert snoozed["snoozedUntil"][:16] == "2026-12-07T03:00"
    assert (await _outcome(told, "handed-to-a-team")).row["team"]["name"] == "logistics"
    assert (await _outcome(told, "email-left-in-the-chat")).row["contact"][
        "email"
    ] == "rafi@customer.example"

    async def is_renamed() -> bool:
        outcome = await _outcome(told, "contact-gets-a-name")
        contact = outcome.row["contact"]
        assert outcome.row["externalUserName"] == "Rokeya Sultana"
        assert (contact["phone"], contact["email"]) == (
            "+8801711002017",
            "rokeya@customer.example",
        )
        return bool(outcome.messages[0]["senderName"] == "Rokeya Sultana")

    await eventually(is_renamed)


def test_a_reply_of_several_lines_is_one_text_by_rest_and_by_webhook() -> None:
    """Without the signs that the editor writes at the ends of lines."""
    reply = parse_message(CASES["multi-line-reply-read-by-rest"]["rest"][1])
    assert reply is not None
    assert reply.content == "Cold water.\nNo bleach.\nIron low."
    assert not is_other_text("Cold water.\nNo bleach.\nIron low.\n", reply.content)
