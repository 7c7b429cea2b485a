"""Agents connect their own access tokens of Chatwoot: their replies and acts go out under their
names, once each, and a refusal is theirs alone.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.model import OUTGOING, User
from tests.integration.integration_admin import admin
from tests.integration.talk import Talk
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.servers import Servers

PATH = "/api/me/own-tokens"


@pytest.fixture
def ada(talk: Talk) -> User:
    """An agent of Chatwoot who is a member of the inbox."""
    return talk.sim.add_user("Ada Okoye", account=talk.sim.account, inboxes=(talk.sim.inbox,))


async def connect(talk: Talk, token: str, number: int | None = None) -> httpx.Response:
    place = talk.company.integration_id if number is None else number
    return await talk.company.http.put(f"{PATH}/{place}", json={"accessToken": token})


async def shown(talk: Talk) -> dict[str, object]:
    [one] = await talk.company.get(PATH)
    found: dict[str, object] = one
    return found


def senders(talk: Talk) -> list[str]:
    """The names under which Chatwoot has what was sent."""
    return [
        message.sender.name if isinstance(message.sender, User) else "nobody"
        for message in talk.there.messages
        if message.message_type == OUTGOING
    ]


async def falls_back(talk: Talk) -> None:
    async with admin(talk.company) as http:
        answer = await http.patch(
            f"/api/integrations/{talk.company.integration_id}",
            json={"refusedOwnTokens": "fallback"},
        )
    assert (answer.status_code, answer.json()["refusedOwnTokens"]) == (200, "fallback")


async def test_replies_and_acts_go_out_under_the_name_of_who_connected(
    talk: Talk, ada: User
) -> None:
    """Those of a colleague go out under the integration's; here each has one name in the thread."""
    owner = talk.sim.admin.name
    answer = await connect(talk, ada.access_token)
    assert answer.status_code == 200, answer.text
    [one] = answer.json()
    assert (one["isConnected"], one["name"], one["email"]) == (True, "Ada Okoye", ada.email)
    assert one["sender"] == {"state": "own", "name": "Ada Okoye"}
    async with talk.company.client(2) as colleague:
        await talk.reply("mine")
        await talk.ended("sent")
        await colleague.post(f"{talk.path}/reply", json={"content": "a colleague's"})
        own = await talk.ended("sent", count=2)
        assert senders(talk) == ["Ada Okoye", owner]
        me = (await talk.company.http.get("/api/me")).json()["name"]
        them = (await colleague.get("/api/me")).json()["name"]
    assert [one["senderName"] for one in own] == [me, them], "one name here, whatever came back"
    closed = await talk.company.http.patch(talk.path, json={"status": "Closed"})
    assert closed.status_code == 200, closed.text
    assert f"{ada.available_name} " in (talk.there.messages[-1].content or "") or (
        ada.name in (talk.there.messages[-1].content or "")
    ), talk.there.messages[-1].content
    removed = await talk.company.http.delete(f"{PATH}/{talk.company.integration_id}")
    assert removed.status_code == 204
    await talk.reply("no longer mine")
    await talk.ended("sent", count=3)
    assert senders(talk)[-1] == owner
    again = await talk.company.http.delete(f"{PATH}/{talk.company.integration_id}")
    assert again.status_code == 404


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


async def test_an_administrator_of_chatwoot_sees_every_inbox(talk: Talk) -> None:
    """Their token is good without being a member of the inbox."""
    chief = talk.sim.add_user("Chief", account=talk.sim.account, role="administrator")
    assert (await connect(talk, chief.access_token)).status_code == 200


async def test_a_refused_token_sends_nothing_and_says_so(talk: Talk, ada: User) -> None:
    """It is no fault of the integration; connected anew, the reply is sent once."""
    await connect(talk, ada.access_token)
    del talk.sim.tokens[ada.access_token]
    await talk.reply("only as myself")
    (own,) = await talk.ended("failed")
    assert own["deliveryError"]["code"] == "own_token_refused"
    assert "account" in own["deliveryError"]["message"]
    assert talk.sent == []
    one = await shown(talk)
    assert one["refusedAt"]
    assert "does not know it" in str(one["refusal"])
    assert one["sender"] == {"state": "refused", "name": "Ada Okoye"}
    refused = await talk.company.http.patch(talk.path, json={"status": "Closed"})
    assert (refused.status_code, refused.json()["code"]) == (502, "own_token_refused")
    assert talk.there.status == "open"
    [integration] = [
        one for one in await talk.company.integrations() if one.id == talk.company.integration_id
    ]
    assert (integration.problem, integration.chatwoot_problem) == (None, None)
    async with talk.company.client(2) as colleague:
        await colleague.post(f"{talk.path}/reply", json={"content": "not concerned"})

    async def sent() -> bool:
        return talk.sent == ["not concerned"]

    await eventually(sent)
    talk.sim.tokens["renewed"] = ada
    assert (await connect(talk, "renewed")).status_code == 200
    answer = await talk.company.http.post(f"{talk.path}/messages/{own['id']}/retry")
    assert answer.status_code == 200
    await talk.ended("sent", count=2)
    assert talk.sent == ["not concerned", "only as myself"]
    assert (await shown(talk))["refusedAt"] is None


async def test_a_refused_token_falls_back_where_an_administrator_chose_so(
    talk: Talk, ada: User
) -> None:
    """Reply and act go out under the integration's name; the page says so; accepted again, the
    next one is the agent's.
    """
    owner = talk.sim.admin.name
    await falls_back(talk)
    await connect(talk, ada.access_token)
    del talk.sim.tokens[ada.access_token]
    await talk.reply("first")
    await talk.ended("sent")
    assert (await shown(talk))["sender"] == {
        "state": "fallback",
        "name": (await shown(talk))["inboxName"] or str(talk.sim.inbox.id),
    }
    closed = await talk.company.http.patch(talk.path, json={"status": "Closed"})
    assert closed.status_code == 200, closed.text
    talk.sim.tokens[ada.access_token] = ada
    await talk.reply("second")
    await talk.ended("sent", count=2)
    assert (senders(talk), talk.sent) == ([owner, "Ada Okoye"], ["first", "second"])

    async def accepted() -> bool:
        """The reply's webhook may be quicker than this is written."""
        return (await shown(talk))["refusedAt"] is None

    await eventually(accepted)


async def test_what_a_person_may_not_do_in_chatwoot_is_not_done_here(talk: Talk, ada: User) -> None:
    """Taken out of the inbox there, they cannot reply here either; a check says why, and when it
    is over.
    """
    await connect(talk, ada.access_token)
    talk.sim.inbox.member_ids.discard(ada.id)
    await talk.reply("may I?")
    (own,) = await talk.ended("failed")
    assert own["deliveryError"]["code"] == "own_token_refused"
    check = f"{PATH}/{talk.company.integration_id}/check"
    [checked] = (await talk.company.http.post(check)).json()
    assert "does not show you the inbox" in checked["refusal"]
    talk.sim.inbox.member_ids.add(ada.id)
    ada.name = "Ada Lovelace"
    [checked] = (await talk.company.http.post(check)).json()
    assert (checked["refusal"], checked["name"]) == (None, "Ada Lovelace")


LOST: dict[str, dict[str, object]] = {
    "the answer was lost": {"lose_next": 1},
    "500 before it was accepted": {"fail_next": 1, "fail_writes_only": True},
}


@pytest.mark.parametrize("choice", ["fail", "fallback"])
@pytest.mark.parametrize("case", LOST)
async def test_a_token_revoked_after_an_unknown_outcome_doubles_nothing(
    talk: Talk, ada: User, case: str, choice: str
) -> None:
    """What reached Chatwoot is found with the integration's token; only what did not is refused, or
    goes out under the integration's name.
    """
    sim = talk.sim
    if choice == "fallback":
        await falls_back(talk)
    await connect(talk, ada.access_token)
    sim.switches.set(drop_rate=1.0, fail_matching="/messages?after=", **LOST[case])
    is_there = case == "the answer was lost"
    await talk.reply("exactly once")

    async def tried() -> bool:
        return not (sim.switches.lose_next or sim.switches.fail_next)

    await eventually(tried, 30)
    assert len(talk.sent) == is_there
    del sim.tokens[ada.access_token]
    sim.switches.set(fail_matching="")
    is_sent = is_there or choice == "fallback"
    (own,) = await talk.ended("sent" if is_sent else "failed", limit=90)
    assert talk.sent == (["exactly once"] if is_sent else [])
    assert senders(talk) == ([] if not is_sent else ["Ada Okoye"] if is_there else [sim.admin.name])
    if not is_sent:
        assert own["deliveryError"]["code"] == "own_token_refused"


async def test_a_token_goes_to_the_chatwoot_it_was_given_for_alone(talk: Talk, ada: User) -> None:
    """An administrator who writes another address gets nobody's token sent there."""
    await connect(talk, ada.access_token)
    other = ChatwootSim(account_id=talk.sim.account.id, inbox_id=talk.sim.inbox.id)
    other.tokens[ada.access_token] = other.add_user(
        "Thief", account=other.account, role="administrator"
    )
    async with serving(other):
        place = talk.company.change_integration
        await place(base_url=other.base_url, access_token=other.admin.access_token)
        one = await shown(talk)
        assert "another Chatwoot address" in str(one["refusal"])
        await talk.reply("to whom?")
        (own,) = await talk.ended("failed")
        assert own["deliveryError"]["code"] == "own_token_refused"
        [checked] = (
            await talk.company.http.post(f"{PATH}/{talk.company.integration_id}/check")
        ).json()
        assert checked["isConnected"]
        assert checked["refusal"]
        assert not [one for one in other.messages.values() if one.message_type == OUTGOING]


async def test_a_token_is_of_all_inboxes_that_its_owner_sees(talk: Talk, ada: User) -> None:
    """Connected once for the account; not for an inbox that Chatwoot does not show them."""
    sim, first = talk.sim, talk.company.integration_id
    inboxes = [sim.add_inbox(name, account=sim.account) for name in ("Second", "Third")]
    inboxes[0].member_ids.add(ada.id)
    async with admin(talk.company) as http:
        added = [
            await http.post(
                "/api/integrations",
                json={
                    "accountId": sim.account.id,
                    "inboxId": inbox.id,
                    "baseUrl": sim.base_url,
                    "accessToken": sim.admin.access_token,
                },
            )
            for inbox in inboxes
        ]
    second, third = [answer.json()["id"] for answer in added]
    answer = await connect(talk, ada.access_token)
    connected = {one["integrationId"]: one["isConnected"] for one in answer.json()}
    assert connected == {first: True, second: True, third: False}
    refused = await connect(talk, ada.access_token, third)
    assert (refused.status_code, "Third" in refused.json()["message"]) == (422, True)
    removed = await talk.company.http.delete(f"{PATH}/{second}")
    assert removed.status_code == 204
    assert not any(one["isConnected"] for one in await talk.company.get(PATH))


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


@pytest.fixture
async def shared_shop(
    servers: Servers, mariadb: MariaDB, redis_server: Redis, sim: ChatwootSim
) -> AsyncIterator[Company]:
    async with Company(servers.get("production", mariadb, redis_server), chatwoot=sim) as company:
        yield company


async def test_both_processes_send_under_the_right_name(
    shared_shop: Company, sim: ChatwootSim, second_process: Omni
) -> None:
    """Whichever process takes a reply, or is told of the token or of its end."""
    ada = sim.add_user("Ada Okoye", account=sim.account, inboxes=(sim.inbox,))
    said = sim.customer_says("Rahima", "Is it still there?")
    sim.add_webhook(shared_shop.omni.base_url + "/api/webhooks/chatwoot", secret="")
    sim.customer_says("Rahima", "Hello?")
    here = await shared_shop.conversation_with(1, display_id=said.conversation.display_id)
    talk = Talk(shared_shop, sim, said.conversation, here)
    await connect(talk, ada.access_token)
    async with second_process.client(shared_shop.token()) as elsewhere:
        # it reads the integrations now, and not within seconds
        await elsewhere.post("/api/chatwoot/sync", json={"integrationId": 2**53})
        for n in range(10):
            client = elsewhere if n % 2 else shared_shop.http
            answer = await client.post(f"{talk.path}/reply", json={"content": f"reply {n}"})
            assert answer.status_code == 201, answer.text
        await talk.ended("sent", count=10, limit=60)
        assert talk.sent == [f"reply {n}" for n in range(10)]
        assert set(senders(talk)) == {"Ada Okoye"}
        removed = await elsewhere.delete(f"{PATH}/{shared_shop.integration_id}")
        assert removed.status_code == 204
        await talk.reply("as the integration")
        await talk.ended("sent", count=11)
        assert senders(talk)[-1] == sim.admin.name
