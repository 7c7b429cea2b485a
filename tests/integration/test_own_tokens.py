"""Agents connect their own access tokens of Chatwoot: their replies and acts go out under their
names, once each, and a refusal is theirs alone.
"""

from collections.abc import AsyncIterator

import pytest

from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.model import OUTGOING, User
from tests.integration.integration_admin import admin
from tests.integration.own_tokens import PATH, connect, senders, shown
from tests.integration.talk import Talk
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.servers import Servers


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
