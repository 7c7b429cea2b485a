"""How an agent's own access token of Chatwoot is kept: checked, sealed, limited, and gone
with what it was given for.
"""

import asyncio
import json
from pathlib import Path

import pytest

from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.lab.chatwoot_sim.model import User
from tests.integration.integration_admin import admin
from tests.integration.own_tokens import PATH, connect, senders, shown
from tests.integration.talk import Talk
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni


async def test_only_a_token_that_can_reply_is_kept(talk: Talk, ada: User) -> None:
    """A bot's, another account's, one of no inbox here, and one that this Chatwoot does not know
    are each refused in words, and nothing of them is kept or said.
    """
    sim = talk.sim
    elsewhere = sim.add_user("Eve", account=sim.add_account("Elsewhere"), role="administrator")
    outside = sim.add_user("Olu", account=sim.account)
    bot = sim.add_user("Robo", account=sim.account, bot=True)
    for token, words in (
        (bot.access_token, "bot"),
        (elsewhere.access_token, "does not belong to account"),
        (outside.access_token, "does not show you the inbox"),
        ("a-token-of-another-chatwoot", "does not know it"),
    ):
        answer = await connect(talk, token)
        assert (answer.status_code, answer.json()["code"]) == (422, "unprocessable"), answer.text
        assert words in answer.json()["message"]
        assert token not in answer.text
        assert not (await shown(talk))["isConnected"]
    empty = await talk.company.http.put(f"{PATH}/{talk.company.integration_id}", json={})
    assert empty.status_code == 400
    await connect(talk, ada.access_token)
    await talk.reply("hello")
    await talk.ended("sent")
    assert senders(talk) == ["Ada Okoye"]


async def test_companies_do_not_reach_each_other(server: Omni, talk: Talk, ada: User) -> None:
    """Another company's integration is not found, whatever the token; its administrator neither
    sees nor removes what is connected here.
    """
    await connect(talk, ada.access_token)
    me = await talk.company.agent_number(1)
    async with Company(server) as other, admin(other) as chief:
        number = talk.company.integration_id
        for method, path, body in (
            ("PUT", f"{PATH}/{number}", {"accessToken": ada.access_token}),
            ("POST", f"{PATH}/{number}/check", None),
            ("DELETE", f"{PATH}/{number}", None),
            ("DELETE", f"/api/people/{me}/own-tokens", None),
        ):
            answer = await chief.request(method, path, json=body)
            assert answer.status_code == 404, (path, answer.text)
        assert (await chief.get(f"/api/people/{me}/own-tokens")).status_code == 404
        assert [one["integrationId"] for one in (await chief.get(PATH)).json()] == [
            other.integration_id
        ]
        # a token of this Chatwoot is none of the other company's
        given = await chief.put(
            f"{PATH}/{other.integration_id}", json={"accessToken": ada.access_token}
        )
        assert (given.status_code, given.json()["code"]) == (422, "chatwoot_away")
    await talk.reply("still mine")
    await talk.ended("sent")
    assert senders(talk) == ["Ada Okoye"]


@pytest.mark.parametrize(
    "path", ["0", "-1", "x", "9" * 30, "1%00", "1;drop", "٣", "%2e%2e"], ids=str
)
async def test_hostile_addresses_are_not_found(talk: Talk, path: str) -> None:
    """Nothing is done, and nothing breaks."""
    answer = await talk.company.http.put(f"{PATH}/{path}", json={"accessToken": "x"})
    assert answer.status_code in (400, 404, 405), answer.text


@pytest.mark.parametrize(
    "token", ["", " ", "a b", "a\nb", "\u0000", "ключ", "x" * 501, 7, None, ["x"]], ids=repr
)
async def test_hostile_tokens_are_refused_unsent(talk: Talk, token: object) -> None:
    """What cannot stand in a header is refused without being quoted."""
    place = f"{PATH}/{talk.company.integration_id}"
    answer = await talk.company.http.put(place, json={"accessToken": token})
    assert answer.status_code == 400, answer.text
    assert not (await shown(talk))["isConnected"]


async def test_tries_are_limited(talk: Talk) -> None:
    """Nobody guesses tokens of Chatwoot through this server."""
    answers = [(await connect(talk, f"guess-{n}")).status_code for n in range(11)]
    assert answers == [422] * 10 + [429]


async def test_administrators_see_who_is_connected_and_remove_it(talk: Talk, ada: User) -> None:
    """Never the token; every act stands in the audit log, and the token in no answer, log or
    table.
    """
    await connect(talk, ada.access_token)
    me = await talk.company.agent_number(1)
    refused = await talk.company.http.delete(f"/api/people/{me}/own-tokens")
    assert refused.status_code == 403
    async with admin(talk.company) as http:
        path = f"/api/people/{me}/own-tokens"
        seen = await http.get(path)
        assert [one["name"] for one in seen.json()] == ["Ada Okoye"]
        assert (await http.delete(path)).status_code == 204
        assert (await http.delete(path)).status_code == 404
        acts = (await http.get("/api/audit")).json()
        assert {"own-token.connect", "own-token.remove"} <= {one["act"] for one in acts}
        texts = (seen.text, json.dumps(acts), talk.company.omni.log)
        assert not any(ada.access_token in text for text in texts)
    assert not (await shown(talk))["isConnected"]


async def test_it_is_sealed_and_goes_with_the_access_and_the_integration(
    talk: Talk, ada: User
) -> None:
    """Nothing of it stays when an administrator withdraws the agent's access, or deletes the
    integration.
    """
    company = talk.company
    select = "SELECT access_token FROM omni_own_tokens WHERE company_id = :company"

    async def stored() -> list[str]:
        return [str(row[0]) for row in await company.rows(select, company=company.id)]

    await connect(talk, ada.access_token)
    [sealed] = await stored()
    assert sealed.startswith("enc1:")
    assert ada.access_token not in sealed
    async with admin(company) as http:
        me = await company.agent_number(1)
        assert (await http.patch(f"/api/people/{me}", json={"isActive": False})).is_success
        assert await stored() == []
        assert (await http.patch(f"/api/people/{me}", json={"isActive": True})).is_success

        async def connected() -> bool:
            """With a sign-in of after the access was given again."""
            async with company.client() as again:
                place = f"{PATH}/{company.integration_id}"
                answer = await again.put(place, json={"accessToken": ada.access_token})
            return answer.status_code == 200

        await eventually(connected)
        assert len(await stored()) == 1
        deleted = await http.delete(f"/api/integrations/{company.integration_id}")
        assert deleted.status_code == 204, deleted.text
        assert await stored() == []
    async with company.client() as again:
        place = f"{PATH}/{company.integration_id}"
        answer = await again.put(place, json={"accessToken": ada.access_token})
        assert answer.status_code == 404, answer.text


def test_a_changed_secret_key_opens_own_tokens_and_seals_them_anew(
    database_url: str, tmp_path: Path
) -> None:
    """As it does the integrations' tokens: `db upgrade` counts them, then the old key is not
    needed.
    """

    def server(key: str, previous: str = "") -> Omni:
        return Omni(
            tmp_path,
            database_url=database_url,
            env={"SECRET_KEY": key, "SECRET_KEY_PREVIOUS": previous},
        )

    first = server("first")
    first.prepare()

    def judged(omni: Omni) -> str:
        found = omni.cli("doctor", "--security", "--json").stdout
        assert "secret of Ada" not in found
        lines = {one["name"]: one["state"] for one in map(json.loads, found.splitlines())}
        return str(lines["own tokens"])

    async def keep() -> None:
        async with Database(database_url) as database:
            for agent, key in ((1, "first"), (2, "")):
                values = {"agent": agent, "token": Vault(key).seal("secret of Ada")}
                await database.transaction(
                    lambda c: c.execute(
                        "INSERT INTO omni_own_tokens (agent_id, integration_id, company_id, "
                        "base_url, account_id, access_token, user_id, name, connected_at, "
                        "checked_at) VALUES (:agent, 1, 1, 'http://x', 1, :token, 1, 'Ada', 1, 1)",
                        values,  # noqa: B023 - awaited at once
                    )
                )
                await database.transaction(
                    lambda c: c.execute(
                        "INSERT INTO omni_second_factors (agent_id, secret, last_step, created_at) "
                        "VALUES (:agent, :token, 0, 1)",
                        values,  # noqa: B023 - awaited at once
                    )
                )

    async def opened(key: str) -> list[str | None]:
        async with Database(database_url) as database:
            rows = await database.fetch_all(
                "SELECT access_token FROM omni_own_tokens UNION ALL "
                "SELECT secret FROM omni_second_factors",
                {},
            )
        assert all(str(row[0]).startswith("enc1:") for row in rows)
        return [Vault(key).try_open(row[0]) for row in rows]

    asyncio.run(keep())
    assert judged(server("second")) == "failed"
    assert judged(server("second", "first")) == "warning"
    assert "4 tokens and secrets encrypted" in server("second", "first").cli("db", "upgrade").stdout
    assert asyncio.run(opened("second")) == ["secret of Ada"] * 4
    assert judged(server("second")) == "ok"
    assert "nothing to do" in server("second", "first").cli("db", "upgrade").stdout
