"""A contact erased on request: nothing of it is left in any table, others are untouched, clients
are told.
"""

import json

import pytest

from server.core.chatwoot.headings import names_contact
from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import admin, command, registered
from tests.integration.test_admin_pages import submit, text_of
from tests.kit.company import Company
from tests.kit.eventually import eventually

WORD = "zymurgy"


async def left(shop: Company) -> list[str]:
    """The tables in which the word, or the customer's name, still stands."""
    columns = {
        "social_conversations": "external_user_name, omni_contact, omni_preview",
        "social_messages": "content, omni_sender_name",
        "omni_inbox_events": "body",
        "omni_webhook_deliveries": "body",
        "omni_audit_log": "target, detail",
    }
    found = {
        name: str(await shop.rows(f"SELECT {selected} FROM {name}"))
        for name, selected in columns.items()
    }
    return [name for name, text in found.items() if WORD in text or "Zuleikha" in text]


async def test_nothing_of_an_erased_contact_is_left(shop: Company, sim: ChatwootSim) -> None:
    """Two conversations, a reply, events and deliveries: gone; another customer's stay; an open
    inbox is told to reset.
    """
    await registered(shop)
    sim.hooks[0].subscriptions = (*sim.hooks[0].subscriptions, "contact_created", "contact_updated")
    sim.customer_says("Bystander", "I stay")
    sim.customer_says("Zuleikha", f"my word is {WORD}")
    await sim.webhooks.flushed()

    async def both() -> list[dict[str, object]] | None:
        found = await shop.conversations()
        return found if len(found) == 2 and all(one["preview"] for one in found) else None

    found = await eventually(both)
    number = next(int(str(one["id"])) for one in found if one["externalUserName"] == "Zuleikha")
    display_id = next(
        one["chatwootConversationId"] for one in found if one["externalUserName"] == "Zuleikha"
    )
    message = (await shop.thread(number))[0]["id"]
    await shop.http.post(
        f"/api/conversations/{number}/reply", json={"content": f"{WORD} to you as well"}
    )

    async def sent() -> bool:
        return any(one["deliveryState"] == "sent" for one in await shop.thread(number))

    await eventually(sent)
    await sim.webhooks.flushed()
    async with admin(shop) as http, shop.socket() as socket:
        await socket.wait_for_frame("welcome")
        refused = await http.post(f"/api/conversations/{number}/erase-contact")
        assert (
            refused.status_code,
            "delete the contact in Chatwoot first" in refused.json()["message"],
        ) == (409, True)
        sim.delete_conversation(int(str(display_id)))
        page = await submit(http, f"/admin/ledger/messages/{message}/erase", word="no")
        assert "Nothing was erased" in text_of(page)
        done = await submit(http, f"/admin/ledger/messages/{message}/erase", word="erase")
        assert "1 conversations with 2 messages are gone" in text_of(done)
        await socket.wait_for_frame("reset")
        assert (await http.post(f"/api/conversations/{number}/erase-contact")).status_code == 404
    assert await left(shop) == []
    assert [one["externalUserName"] for one in await shop.conversations()] == ["Bystander"]
    rows = await shop.rows(
        "SELECT act, actor FROM omni_audit_log WHERE company_id = :id AND act = 'contact.erase'",
        id=shop.id,
    )
    assert [tuple(row) for row in rows] == [("contact.erase", "Chief")]


async def test_it_is_erased_by_command_and_only_in_its_company(
    company: Company, shop: Company
) -> None:
    """Without an active integration nobody is asked; another company's conversation is not
    there.
    """
    await company.post(company.simple("once"))
    [conversation] = await eventually(company.conversations)
    options = ("contact", "erase", "--conversation-id", str(conversation["id"]), "--company-id")
    assert (await command(company.omni, *options, str(shop.id))).returncode == 1
    assert len(await company.conversations()) == 1
    await company.change_integration(is_active=False)
    done = await command(company.omni, *options, str(company.id))
    assert json.loads(done.stdout)["messages"] == 1, done.stderr
    assert await company.conversations() == []


@pytest.mark.parametrize(
    ("body", "is_theirs"),
    [
        ('{"event": "message_created", "account": {"id": 3}, "conversation": {"id": 481}}', True),
        ('{"event": "message_created", "account": {"id": 4}, "conversation": {"id": 481}}', False),
        (
            (
                '{"event": "message_created", "account": {"id": 3}, "id": 481, "conversation": '
                '{"id": 5}}'
            ),
            False,
        ),
        ('{"event": "conversation_updated", "id": 481, "meta": {"sender": {"id": 1}}}', True),
        (
            (
                '{"event": "message_created", "conversation": {"id": 5, "meta": {"sender": {"id": '
                "9071}}}}"
            ),
            True,
        ),
        ('{"event": "contact_updated", "account": {"id": 3}, "id": 9071}', True),
        ('{"event": "contact_updated", "account": {"id": 3}, "id": 9072}', False),
        ('{"event": "webwidget_triggered", "contact": {"id": 9071}, "account": {"id": 3}}', True),
        ("[]", False),
        ("no json", False),
    ],
)
def test_deliveries_that_name_a_contact(body: str, is_theirs: bool) -> None:
    """By conversation or by contact, in the account alone; also those that mean nothing here."""
    assert names_contact(body, 3, 9071, {481}) is is_theirs
