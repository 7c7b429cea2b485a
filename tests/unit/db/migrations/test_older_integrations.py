"""An upgraded database: what received webhooks goes on receiving them, until Chatwoot has been
asked.
"""

from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from server.chatwoot import ChatwootClient
from server.db.access import integration_rows
from server.db.access.integration_record import GRANDFATHERED, Integration
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.migrations import upgrade
from server.db.migrations.upgrade_connection import connected
from server.integrations.directory import Directory
from server.integrations.proofs import Proofs
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.settings import Settings
from tests.unit.databases import fresh_sqlite


def _older(url: str, *rows: dict[str, object]) -> None:
    """Take the database back to before proofs, with these integrations."""
    with connected(url) as connection:
        for row in rows:
            values = {
                "provider": "chatwoot",
                "is_active": 1,
                "is_webhook_active": 1,
                "webhook_mode": "live",
            } | row
            names = ", ".join(values)
            connection.execute(
                text(f"INSERT INTO integrations ({names}) VALUES (:{', :'.join(values)})"), values
            )
        connection.execute(text("UPDATE omni_inbox_version SET version_num = '0001'"))


async def _read(url: str) -> dict[int, Integration]:
    async with Database(url) as database:
        return {
            one.id: one
            for one in await database.read(
                lambda c: integration_rows.read_integrations(c, Vault(""))
            )
        }


async def test_what_received_before_goes_on_and_a_claim_on_anothers_numbers_does_not(
    tmp_path: Path,
) -> None:
    """Trusted: who has received, and who has numbers of its own. Without a secret it goes on taking
    unsigned ones; new ones do not.
    """
    url = fresh_sqlite(tmp_path / "older.db")
    place = {"base_url": "https://chat.example.com", "account_id": "3", "access_token": "t"}
    _older(
        url,
        {"id": 1, "company_id": 1, "page_id": "12", "omni_webhook_seen_at": 5, **place},
        {"id": 2, "company_id": 2, "page_id": "12", **place},
        {"id": 3, "company_id": 2, "page_id": "13", "omni_webhook_secret": "s", **place},
    )
    assert "2 integrations go on receiving webhooks" in " ".join(upgrade(url))
    found = await _read(url)
    assert {number: (one.proved_us, one.unsigned) for number, one in found.items()} == {
        1: (GRANDFATHERED, "accepted"),
        2: (0, "refused"),
        3: (GRANDFATHERED, "refused"),
    }
    assert upgrade(url) == []  # once: what is added later has to prove itself


@pytest.mark.parametrize("token", ["good", "bad", "an agent's"])
@pytest.mark.parametrize("shared", ["", "elsewhere", "there"])
async def test_chatwoot_is_asked_about_them(tmp_path: Path, token: str, shared: str) -> None:
    """Proved, its secret is fetched. Refuted, it goes on, unless another company has proved the
    account at the same Chatwoot: at an address of its own anybody can prove any number. An agent,
    who sees the inbox but no webhook, proves too little to be held to a secret that nobody knows.
    """
    url, sim = fresh_sqlite(tmp_path / "older.db"), ChatwootSim()
    async with serving(sim), httpx.AsyncClient(trust_env=False) as http, Database(url) as database:
        settings = Settings(public_url="https://inbox.example.com")
        hook = sim.add_webhook(settings.webhook_url)
        agent = sim.add_user("Ada", account=sim.account, role="agent")
        sim.inbox.member_ids.add(agent.id)
        tokens = {"good": sim.admin.access_token, "bad": "wrong", "an agent's": agent.access_token}
        mine = {
            "company_id": 1,
            "account_id": sim.account.id,
            "inbox_id": sim.inbox.id,
            "base_url": sim.base_url,
            "webhook_secret": None,
        }
        mine |= {"access_token": tokens[token], "unsigned": "accepted", "proved_us": GRANDFATHERED}
        other = {**mine, "company_id": 2, "inbox_id": 5, "proved_us": 7}
        other |= {} if shared == "there" else {"base_url": "https://b.example.com"}
        for values in [mine, other] if shared else [mine]:
            await database.transaction(
                lambda c, values=values: integration_rows.add_integration(c, Vault(""), values, 1)  # type: ignore[misc]
            )
        directory = Directory(database, Vault(""), tolerance_seconds=300, require_signature=False)
        await directory.refresh()

        def client_of(integration: Integration) -> ChatwootClient:
            account_id = integration.account_id or 0
            return ChatwootClient(
                base_url=sim.base_url,
                account_id=account_id,
                access_token=integration.access_token,
                http=http,
            )

        proof = await Proofs(database, Vault(""), directory, client_of, settings).prove(
            directory.integrations[1]
        )
        now = directory.integrations[1]
        if token == "good":
            assert (proof.state, now.proved_us > GRANDFATHERED, now.webhook_secret) == (
                "proved",
                True,
                hook.secret,
            )
        elif token == "bad":
            assert (proof.state, now.proved_us) == (
                "refuted",
                0 if shared == "there" else GRANDFATHERED,
            )
        else:
            assert (proof.state, now.proved_us, now.webhook_secret) == (
                "proved",
                GRANDFATHERED,
                None,
            )
