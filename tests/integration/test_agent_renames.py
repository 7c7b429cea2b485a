"""A new name of an agent or a team of Chatwoot's is shown wherever the old one was."""

from functools import partial

import msgspec

from server.lab.chatwoot_sim.model import Conversation, User
from tests.integration.talk import Talk
from tests.kit.eventually import eventually


async def _shown(talk: Talk, there: Conversation) -> tuple[str | None, str | None, set[str | None]]:
    """Assignee, team, and the senders of what was sent."""
    rows = await talk.company.get("/api/conversations")
    one = next(row for row in rows if row["chatwootConversationId"] == there.display_id)
    sent = [m for m in await talk.company.thread(one["id"]) if m["senderType"] == "agent"]
    assignee, team = one["assignee"], one["team"]
    return (
        assignee and assignee["name"],
        team and team["name"],
        {message["senderName"] for message in sent},
    )


async def _is_shown(talk: Talk, there: Conversation, agent: str, team: str) -> bool:
    found = await _shown(talk, there)
    assert found == (agent, team, {agent}), found
    return True


async def _are_shown(talk: Talk, both: list[Conversation], agent: str, team: str) -> None:
    for there in both:
        await eventually(partial(_is_shown, talk, there, agent, team), 30)


async def _worked_on(talk: Talk, agent: User) -> list[Conversation]:
    """Two conversations of the agent and their team, in which they have written."""
    other = talk.sim.customer_says("Bo", "Hello").conversation
    for there in (talk.there, other):
        talk.sim.assign(there, agent)
        talk.sim.assign_team(there, "orders")
        for text in ("Good morning", "It is on its way"):
            talk.sim.agent_says(there, text, user=agent)
    talk.sim.set_status(other, "resolved")
    await talk.sim.webhooks.flushed()
    await _are_shown(talk, [talk.there, other], agent.name, "orders")
    return [talk.there, other]


async def test_what_one_conversation_tells_is_shown_in_all(talk: Talk) -> None:
    """In rows, heads and older messages, with an event each; the closed one is told of as well."""
    ada = talk.sim.add_user("Ada", account=talk.sim.account, inboxes=(talk.sim.inbox,))
    both = await _worked_on(talk, ada)
    own = f"FROM omni_inbox_events WHERE company_id = {talk.company.id}"
    [[head]] = await talk.company.rows(f"SELECT MAX(seq) {own}")
    ada.name, talk.sim.team_named("orders")["name"] = "Ada Okoye", "deliveries"
    talk.sim.set_priority(talk.there, "high")
    await _are_shown(talk, both, "Ada Okoye", "deliveries")
    await talk.sim.webhooks.flushed()
    bodies = await talk.company.rows(f"SELECT body {own} AND seq > {head}")
    events = [msgspec.json.decode(body)["data"] for [body] in bodies]
    for there in both:
        last = [
            one["conversation"]
            for one in events
            if one["conversation"]["chatwootConversationId"] == there.display_id
        ][-1]
        assert (last["assignee"]["name"], last["team"]["name"]) == ("Ada Okoye", "deliveries")
    renamed = {
        one["message"]["id"]: one["message"]["senderName"] for one in events if "message" in one
    }
    assert list(renamed.values()) == ["Ada Okoye"] * 4


async def test_the_sender_of_a_message_tells_it_too(talk: Talk) -> None:
    """Who is assigned to nothing new; what was written here keeps its name."""
    ada = talk.sim.add_user("Ada", account=talk.sim.account, inboxes=(talk.sim.inbox,))
    both = await _worked_on(talk, ada)
    third = talk.sim.customer_says("Lea", "Hi").conversation
    ada.name = "Ada Okoye"
    talk.sim.agent_says(third, "Welcome", user=ada)
    await _are_shown(talk, both, "Ada Okoye", "orders")


async def test_of_two_agents_of_one_name_no_message_is_renamed(talk: Talk) -> None:
    """Whose they are nobody could say; who is assigned has a number, and is renamed."""
    ada = talk.sim.add_user("Ada", account=talk.sim.account, inboxes=(talk.sim.inbox,))
    both = await _worked_on(talk, ada)
    talk.sim.add_user("Ada", account=talk.sim.account, inboxes=(talk.sim.inbox,))
    ada.name = "Ada Okoye"
    talk.sim.set_priority(talk.there, "high")

    async def is_assigned() -> bool:
        found = [await _shown(talk, there) for there in both]
        assert found == [("Ada Okoye", "orders", {"Ada"})] * 2, found
        return True

    await eventually(is_assigned, 30)


async def test_who_replies_under_their_own_name_is_told_the_new_one(talk: Talk) -> None:
    """Else the composer would name somebody whom the customer does not get to see."""
    ada = talk.sim.add_user("Ada", account=talk.sim.account, inboxes=(talk.sim.inbox,))
    path = f"/api/me/own-tokens/{talk.company.integration_id}"
    answer = await talk.company.http.put(path, json={"accessToken": ada.access_token})
    assert answer.status_code == 200, answer.text
    both = await _worked_on(talk, ada)
    ada.name = "Ada Okoye"
    talk.sim.set_priority(talk.there, "high")
    await _are_shown(talk, both, "Ada Okoye", "orders")
    [own] = (await talk.company.http.get("/api/me/own-tokens")).json()
    assert own["sender"] == {"state": "own", "name": "Ada Okoye"}
