"""A conversation looks the same in REST and in the event that tells of it."""

import msgspec

from tests.integration.talk import Talk


async def test_an_event_names_the_inbox_as_rest_does(talk: Talk) -> None:
    """Also of a conversation that was stored before inboxes were named."""
    await talk.company.database.transaction(
        lambda c: c.execute("UPDATE social_conversations SET omni_marks = NULL")
    )
    shown = await talk.company.get(talk.path)
    assert shown["inboxName"] == talk.sim.inbox.name
    own = f"FROM omni_inbox_events WHERE company_id = {talk.company.id}"
    [[head]] = await talk.company.rows(f"SELECT MAX(seq) {own}")
    answer = await talk.company.http.post(f"{talk.path}/reply", json={"content": "Of course"})
    assert answer.status_code < 300, answer.text
    await talk.ended("sent")
    bodies = await talk.company.rows(f"SELECT body {own} AND seq > {head}")
    told = [msgspec.json.decode(body)["data"]["conversation"]["inboxName"] for [body] in bodies]
    assert set(told) == {talk.sim.inbox.name}
