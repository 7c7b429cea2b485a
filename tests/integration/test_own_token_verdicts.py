"""A check of an agent's own tokens: what is refused for one integration is said of no other."""

import pytest

from server.lab.chatwoot_sim.model import User
from tests.integration.integration_admin import admin
from tests.integration.talk import Talk
from tests.kit.eventually import eventually

PATH = "/api/me/own-tokens"


@pytest.fixture
async def second(talk: Talk) -> int:
    """An integration of another inbox of the same account."""
    inbox = talk.sim.add_inbox("Second", account=talk.sim.account)
    async with admin(talk.company) as http:
        added = await http.post(
            "/api/integrations",
            json={
                "accountId": talk.sim.account.id,
                "inboxId": inbox.id,
                "baseUrl": talk.sim.base_url,
                "accessToken": talk.sim.admin.access_token,
            },
        )
    number: int = added.json()["id"]
    return number


@pytest.fixture
def ada(talk: Talk, second: int) -> User:
    """An agent of Chatwoot who is a member of both inboxes."""
    inboxes = tuple(talk.sim.inboxes.values())
    return talk.sim.add_user("Ada Okoye", account=talk.sim.account, inboxes=inboxes)


async def _connect(talk: Talk, token: str, number: int) -> None:
    answer = await talk.company.http.put(f"{PATH}/{number}", json={"accessToken": token})
    assert answer.status_code == 200, answer.text


async def _check(talk: Talk, number: int) -> dict[int, bool]:
    """Integration -> whether its token is refused, after a check that was asked for at one."""
    answer = await talk.company.http.post(f"{PATH}/{number}/check")
    assert answer.status_code == 200, answer.text
    return {one["integrationId"]: one["refusal"] is not None for one in answer.json()}


async def test_two_tokens_of_one_person_have_a_verdict_each(
    talk: Talk, second: int, ada: User
) -> None:
    """Connected where its owner saw that inbox alone; another token was made since."""
    first = talk.company.integration_id
    there = talk.sim.inboxes
    other = next(one for one in there.values() if one.id != talk.sim.inbox.id)
    await _connect(talk, ada.access_token, first)
    talk.sim.inbox.member_ids.discard(ada.id)
    talk.sim.tokens["ada-second-token"] = ada
    await _connect(talk, "ada-second-token", second)
    talk.sim.inbox.member_ids.add(ada.id)
    assert await _check(talk, first) == {first: False, second: False}
    del talk.sim.tokens[ada.access_token]
    for asked in (first, second):
        assert await _check(talk, asked) == {first: True, second: False}
    talk.sim.tokens[ada.access_token] = ada
    other.member_ids.discard(ada.id)
    assert await _check(talk, first) == {first: False, second: True}


async def test_a_moved_integration_says_nothing_of_the_others(
    talk: Talk, second: int, ada: User
) -> None:
    """A token is sent to the address it was given for; that is still the other's."""
    first = talk.company.integration_id
    await _connect(talk, ada.access_token, first)
    await talk.company.change_integration(
        base_url=talk.sim.base_url.replace("127.0.0.1", "localhost")
    )
    for asked in (first, second):
        assert await _check(talk, asked) == {first: True, second: False}


async def test_the_first_reply_tells_the_new_name_of_a_token_s_owner(talk: Talk, ada: User) -> None:
    """Of whom no delivery has told another name since the server was started."""
    first = talk.company.integration_id
    await _connect(talk, ada.access_token, first)
    ada.name = "Ada O."
    await talk.reply("mine")
    await talk.ended("sent")

    async def is_told() -> bool:
        own = (await talk.company.http.get(PATH)).json()
        [sender] = [one["sender"] for one in own if one["integrationId"] == first]
        assert sender == {"state": "own", "name": "Ada O."}
        return True

    await eventually(is_told, 10)
