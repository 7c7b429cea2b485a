"""What was written is found, as any keyboard writes it: over REST, on both databases."""

import random
import time
from typing import Any

from server.lab.chatwoot_sim import ChatwootSim
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.spellings import PAIRS, respelt


async def _found(company: Company, q: str) -> list[int]:
    """Chatwoot's numbers of the conversations that are found."""
    return sorted(row["chatwootConversationId"] for row in await company.conversations(q=q))


async def test_each_pair_is_found(company: Company) -> None:
    """A text by another spelling of it, and by its own."""
    for number, (stored, _) in enumerate(PAIRS.values(), 1):
        await company.post(company.message(number, stored, conversation_id=number))
    await company.conversation_with(1, display_id=len(PAIRS))
    for number, (name, (stored, typed)) in enumerate(PAIRS.items(), 1):
        assert number in await _found(company, typed), name
        assert number in await _found(company, stored), name


async def test_any_spelling_of_a_text_finds_it(company: Company) -> None:
    """Sixty of them, by chance; and not the text beside it."""
    chance = random.Random(7)
    texts = [("কাজ হয়নি, বাড়ি কোথায় ৭১২"), "Über café ÉCLAIR 45", "Привет Ёлка 9", "ভালো লাগে গাঢ় রং"]
    for number, text in enumerate(texts, 1):
        await company.post(company.message(number, respelt(text, chance), conversation_id=number))
    await company.conversation_with(1, display_id=len(texts))
    for _ in range(15):
        for number, text in enumerate(texts, 1):
            typed = respelt(text, chance)
            assert await _found(company, typed) == [number], ascii(typed)


async def test_customers_are_found_by_what_is_shown_of_them(company: Company) -> None:
    """Name, telephone in any grouping and either digits, e-mail; one who is renamed by the new
    name.
    """
    contact = {
        "id": 9071,
        "name": "Rizwan Hòssain",
        "email": "Rizwan@example.com",
        "phone_number": "+8801712345678",
        "identifier": "CRM-77",
        "type": "contact",
    }
    payload = company.message(1, "hello")
    payload["conversation"]["meta"]["sender"] = contact
    payload["sender"] = {**payload["sender"], **contact}
    await company.post(payload)
    await company.conversation_with(1)
    for typed in ("RIZWAN HOSS", "01712-345678", "০১৭১২ ৩৪৫৬৭৮", "rizwan@EXAMPLE", "crm-77"):
        assert await _found(company, typed) == [481], typed
    assert await _found(company, "01712-345679") == []
    news = {"name": "Karim Uddin", "id": 9071}
    await company.post(company.sample("contact_updated", news))

    async def is_renamed() -> bool:
        return await _found(company, "karim") == [481] and await _found(company, "hossain") == []

    await eventually(is_renamed)


async def test_edits_and_deletions_are_followed(company: Company) -> None:
    """The text before an edit finds nothing any more, nor does a deleted one."""
    await company.post(company.message(1, "first wording"))
    await company.conversation_with(1)
    later: dict[str, Any] = {
        "event": "message_updated",
        "conversation": {"id": 481, "updated_at": time.time()},
    }
    await company.post(company.message(1, "second wording", **later))
    await eventually(lambda: _is_found(company, "second wording"))
    assert await _found(company, "first wording") == []
    gone = {**later, "content_attributes": {"deleted": True}}
    await company.post(company.message(1, "This message was deleted", **gone))

    async def is_gone() -> bool:
        whole = await company.conversation_with(1)
        return bool(whole["messages"][0]["deleted"])

    await eventually(is_gone)
    assert await _found(company, "wording") == []
    assert await _found(company, "was deleted") == []


async def _is_found(company: Company, q: str) -> bool:
    return await _found(company, q) == [481]


async def test_a_reply_is_found_at_once(shop: Company, sim: ChatwootSim) -> None:
    """From the answer on, before Chatwoot has said anything of it."""
    await shop.post(shop.message(1, "hello"))
    whole = await shop.conversation_with(1)
    answer = await shop.http.post(
        f"/api/conversations/{whole['id']}/reply", json={"content": "\u09b9\u09df, ভালো"}
    )
    assert answer.status_code == 201, answer.text
    assert await _is_found(shop, "\u09b9\u09af\u09bc, \u09ad\u09be\u09b2\u09c7\u09be")


async def test_what_the_crm_writes_itself_is_found(company: Company) -> None:
    """Its text at once, every spelling of it within seconds."""
    number = await _of_the_crm(company, "\u09ac\u09be\u09dc\u09bf \u0995\u09cb\u09a5\u09be\u09af")

    async def finds(q: str) -> bool:
        return [row["id"] for row in await company.conversations(q=q)] == [number]

    assert await finds("\u09ac\u09be\u09dc\u09bf")
    await eventually(lambda: finds("\u09ac\u09be\u09a1\u09bc\u09bf"), limit=30)
    await eventually(lambda: finds("nazma akter"), limit=30)


async def _of_the_crm(company: Company, content: str) -> int:
    """A conversation with one message, written into the tables by another program."""

    async def write(connection: Any) -> int:
        conversation_id = await connection.insert(
            "INSERT INTO social_conversations (company_id, platform, external_user_name, status, "
            "last_message_at) "
            "VALUES (:company, 'facebook', 'Nazma  AKTÉR', 'Open', '2026-01-01 00:00:00.000000')",
            {"company": company.id},
        )
        await connection.execute(
            "INSERT INTO social_messages (conversation_id, sender_type, content, created_at) "
            "VALUES (:id, 'customer', :content, '2026-01-01 00:00:00.000000')",
            {"id": conversation_id, "content": content},
        )
        return int(conversation_id)

    return await company.database.transaction(write)
