"""A Chatwoot that was restored from a backup, or set up anew, gives out its numbers again."""

from typing import Any

import httpx

from server.core.times import SECOND, iso
from tests.kit.company import Company
from tests.kit.eventually import eventually

_BEGUN = 1_784_365_265
_LATER = _BEGUN + 40 * 86_400


def _later(number: int, text: str, **conversation: Any) -> dict[str, Any]:
    at = _LATER + number
    told = {"id": 481, "updated_at": at, "unread_count": 10, **conversation}
    return {"content": text, "created_at": iso(at * SECOND), "conversation": told}


async def test_a_message_under_a_known_number_is_shown(company: Company) -> None:
    """Both are in the thread, the new one on top of the list, and the operator is told."""
    await company.post(company.message(1, "before the restore"))
    await company.conversation_with(1)
    await company.post(company.message(1, **_later(1, "another message")))
    whole = await company.conversation_with(2)
    assert [(m["content"], m["chatwootMessageId"]) for m in whole["messages"]] == [
        ("before the restore", None),
        ("another message", 1),
    ]
    assert (whole["preview"]["content"], whole["inboundCount"]) == ("another message", 2)
    await company.post(company.message(1, **_later(1, "another message")))
    await company.post(company.message(2, **_later(2, "and one more")))
    await company.conversation_with(3)
    await _operator_is_told(company)


async def test_a_conversation_under_a_known_number_mixes_no_customers(company: Company) -> None:
    """A row of its own; the first customer's stays as it was, closed, cannot be answered, and gets
    nothing of hers.
    """
    await company.post(company.message(1, "a private line"))
    first = await company.conversation_with(1)
    sender = {
        "id": 31,
        "name": "Nazma Akter",
        "email": "nazma@example.org",
        "phone_number": None,
        "identifier": None,
    }
    told = _later(
        2,
        "hello",
        created_at=_LATER,
        contact_inbox={"contact_id": 31},
        meta={"sender": {**sender, "type": "contact"}},
    )
    await company.post(company.message(2, sender=sender, **told))

    async def both() -> bool:
        return len(await company.conversations()) == 2

    await eventually(both)
    second, old = await company.conversations()
    assert (second["externalUserName"], second["chatwootConversationId"], second["status"]) == (
        "Nazma Akter",
        481,
        "Open",
    )
    assert (old["id"], old["externalUserName"], old["chatwootConversationId"]) == (
        first["id"],
        "Léa Moreau",
        None,
    )
    assert (old["status"], old["goneAt"] is not None) == ("Closed", True)
    assert [m["content"] for m in await company.thread(second["id"])] == ["hello"]
    assert [m["content"] for m in await company.thread(old["id"])] == ["a private line"]
    answer = await company.http.post(
        f"/api/conversations/{old['id']}/reply", json={"content": "to whom?"}
    )
    assert (answer.status_code, answer.json()["code"]) == (
        httpx.codes.CONFLICT,
        "conversation_gone",
    )
    await _operator_is_told(company)


async def _operator_is_told(company: Company) -> None:
    async def is_told() -> bool:
        problems = (await company.get("/readyz"))["problems"]
        return any(
            f"integration {company.integration_id}: Chatwoot gave out numbers again" in one
            for one in problems
        )

    await eventually(is_told, limit=30)
