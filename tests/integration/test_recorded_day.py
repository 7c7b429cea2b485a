"""A day of a running Chatwoot played over a bad line, then compared with what its REST said in the
end, field by field.
"""

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from server.core.state.refusals import CHANNEL_ERROR, shown_refusal
from server.core.times import SECOND
from server.db.migrations import upgrade
from server.lab.chatwoot_sim import serving
from tests.faults.figures import IS_FULL_SIZE
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.recorded_chatwoot import RecordedChatwoot
from tests.kit.servers import QUICK

pytestmark = pytest.mark.xdist_group("recorded day")
Json = dict[str, Any]
_LATE_SECONDS, _LOST_SECONDS = 40.0, 3_600.0  # WEBHOOK_LOST_SECONDS as it is by itself


@pytest.fixture(scope="module", params=["embedded", "production", "by webhooks alone"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Omni]:
    directory = tmp_path_factory.mktemp("day")
    url, bus = f"sqlite:///{directory / 'omni.db'}", "memory://"
    if request.param == "production":
        url, bus = (
            request.getfixturevalue("shared_mariadb").create_database(),
            request.getfixturevalue("shared_redis").url,
        )
    upgrade(url)
    listens = "false" if request.param == "by webhooks alone" else "true"
    env = QUICK | {"CHATWOOT_SOCKETS": listens, "CHATWOOT_SOCKET_WAIT_SECONDS": "0.1"}
    omni = Omni(directory, database_url=url, broadcast_url=bus, env=env)
    omni.start()
    yield omni
    said = omni.log
    omni.kill9()
    assert "Traceback" not in said, said[said.index("Traceback") - 500 :][:3000]


async def test_after_a_bad_day_nothing_differs_and_late_and_lost_are_counted_exactly(
    server: Omni,
) -> None:
    """5 % of the webhooks lost, 5 % doubled, 10 % later than asking, all out of order. What only
    asking found is known beforehand.
    """
    sim, rng = RecordedChatwoot(), random.Random(7)
    async with serving(sim), Company(server, chatwoot=sim, webhook_secret=sim.secret) as company:
        listens = server.env["CHATWOOT_SOCKETS"] == "true"
        await eventually(lambda: bool(sim.cable.subscriptions) == listens, limit=30)
        url = f"{server.base_url}/api/webhooks/chatwoot"
        line = sim.line(rng, late=0.1, lost=0.05, doubled=0.05)
        assert len(line.lost) > 20
        assert len(line.late) > 40
        async with company.socket() as agent:
            for body in sim.deliveries:
                sim.tell_socket(body)
            await company.hold_reconcile()
            await sim.deliver(url, line.in_time, rng)
            await eventually(lambda: _is_at_rest(company), limit=60)
            rows = await company.rows("SELECT omni_reconciled_at FROM integrations")
            assert not rows[0][0], "nothing has been asked for yet"
            sim.is_over = True
            expected = await _unlike_now(company, sim)
            if listens:
                assert not expected["message"], "the socket has brought what no webhook did"
            else:
                told = _messages_in(line.in_time)
                assert (
                    expected["message"]
                    == {
                        number for number in _messages_in(sim.deliveries) if number in _numbers(sim)
                    }
                    - told
                )
                assert len(expected["message"]) > 30
            await _ask(company)
            assert await _finds(company) == expected
            assert await _differences(company, sim) == [], "reconcile has found it all"
            await _let_pass(company, _LATE_SECONDS)
            await sim.deliver(url, line.late, rng)
            await eventually(lambda: _is_at_rest(company), limit=60)
            await _let_pass(company, _LOST_SECONDS)
            await eventually(lambda: _is_judged(company), limit=60)
            late = {
                "message": _messages_in(line.late),
                "edit": _messages_in(line.late, "message_updated"),
            }
            for kind, came in late.items():
                assert await _finds(company, "late", kind) == expected[kind] & came
                assert await _finds(company, "lost", kind) == expected[kind] - came
            lost = await company.rows(
                "SELECT COUNT(*) FROM omni_found_by_asking WHERE state = 'lost'"
            )
            [integration] = await company.integrations()
            assert integration.repaired_count == lost[0][0]
            await agent.wait_for_seq(await company.head())
            first = agent.events[0].seq
            assert [event.seq for event in agent.events] == list(
                range(first, first + len(agent.events))
            )
        assert await _differences(company, sim) == []
        answer = await company.http.post("/api/chatwoot/sync", json={}, timeout=60)
        assert answer.status_code == 200, answer.text
        [outcome] = answer.json()["integrations"]
        assert (
            outcome["errors"],
            outcome["messages"]["created"],
            outcome["conversations"]["created"],
        ) == ([], 0, 0)
        assert await _differences(company, sim) == []


@pytest.mark.skipif(not IS_FULL_SIZE, reason="waits for minutes: OMNI_TEST_FULL=1")
async def test_the_same_day_in_its_own_time(tmp_path: Path) -> None:
    """Every webhook up to 40 s late while Chatwoot is asked all the time: whatever was found first,
    what was lost is counted exactly.
    """
    url = f"sqlite:///{tmp_path / 'omni.db'}"
    upgrade(url)
    env = QUICK | {
        "RECONCILE_SECONDS": "2",
        "RECONCILE_GRACE_SECONDS": "0",
        "WEBHOOK_LOST_SECONDS": "60",
    }
    server, sim, rng = (
        Omni(tmp_path, database_url=url, env=env),
        RecordedChatwoot(),
        random.Random(11),
    )
    server.start()
    try:
        async with (
            serving(sim),
            Company(server, chatwoot=sim, webhook_secret=sim.secret) as company,
        ):
            line = sim.line(rng, late=0.0, lost=0.05, doubled=0.05)
            await company.change_integration(
                lease_until=0,
                walked_at=0,
                reconciled_at=company.database.clock.now_us() - 7_200 * SECOND,
            )
            sim.is_over = True
            late = _LATE_SECONDS
            await sim.deliver(
                f"{server.base_url}/api/webhooks/chatwoot", line.in_time, rng, within_seconds=late
            )
            await eventually(lambda: _is_at_rest(company), limit=60)
            await eventually(lambda: _is_judged(company), limit=180)
            told = _messages_in(sim.deliveries) & _numbers(sim)
            assert await _finds(company, "lost", "message") == told - _messages_in(line.in_time)
            found = await _finds(company)
            print(
                {name: len(numbers) for name, numbers in found.items()},
                "found by asking,",
                len(line.lost),
                "webhooks lost",
            )
            assert await _differences(company, sim) == []
    finally:
        server.kill9()


async def _ask(company: Company) -> None:
    """One round of reconcile, from before the day on, and no other."""
    began_us = company.database.clock.now_us()
    await company.change_integration(
        lease_until=0, walked_at=0, reconciled_at=began_us - 7_200 * SECOND
    )

    async def has_ended() -> bool:
        rows = await company.rows(
            "SELECT omni_reconciled_at, omni_lease_until, omni_walk_problem FROM integrations"
        )
        assert rows[0][2] is None
        return int(rows[0][0]) > began_us - 3_600 * SECOND and rows[0][1] == 0

    await eventually(has_ended, limit=60)
    await company.hold_reconcile()


async def _let_pass(company: Company, seconds: float) -> None:
    """As if it had been so long since reconcile found what it found."""
    await company.execute(
        "UPDATE omni_found_by_asking SET found_at = found_at - :us WHERE state = 'open'",
        us=int(seconds * SECOND),
    )


async def _is_judged(company: Company) -> bool:
    rows = await company.rows("SELECT COUNT(*) FROM omni_found_by_asking WHERE state = 'open'")
    return int(rows[0][0]) == 0


async def _finds(company: Company, state: str | None = None, kind: str | None = None) -> Any:
    """Numbers of what was found by asking: of one kind, or by kind. A message is found once."""
    rows = await company.rows("SELECT kind, number, state FROM omni_found_by_asking")
    found: dict[str, list[int]] = {"message": [], "edit": [], "conversation": []}
    for row in rows:
        if state in (None, row[2]):
            found[row[0]].append(int(row[1]))
    assert len(found["message"]) == len(set(found["message"])), found
    return (
        {name: set(numbers) for name, numbers in found.items()}
        if kind is None
        else set(found[kind])
    )


def _messages_in(bodies: list[str], event: str = "message_") -> set[int]:
    """Chatwoot's numbers of the messages that webhooks tell; activity lines are none."""
    payloads = [json.loads(body) for body in bodies]
    return {
        one["id"]
        for one in payloads
        if one["event"].startswith(event) and one["message_type"] != "activity"
    }


def _numbers(sim: RecordedChatwoot) -> set[int]:
    return {
        one["id"]
        for theirs in sim.told
        for one in sim.messages_of(theirs["id"])
        if one["message_type"] != 2
    }


async def _is_at_rest(company: Company) -> bool:
    await asyncio.sleep(0)
    rows = await company.rows(
        "SELECT COUNT(*) FROM omni_webhook_deliveries WHERE state = 'received'"
    )
    return int(rows[0][0]) == 0


@dataclass(frozen=True)
class Difference:
    """`kind` and `number` as reconcile counts it; `field` is empty for what is not here at all."""

    kind: str
    number: int
    field: str = ""
    theirs: object = None
    ours: object = None

    @property
    def is_told(self) -> bool:
        """By a webhook of its own. Chatwoot sends none, or another text, of these."""
        is_arrival = (
            self.field == "deliveryState"
            and self.theirs in ("delivered", "read")
            and self.ours != "failed"
        )
        is_survey = self.field == "content" and "/survey/responses/" in str(self.ours)
        return not (is_arrival or is_survey or self.field == "senderName")


async def _unlike_now(company: Company, sim: RecordedChatwoot) -> dict[str, set[int]]:
    """What asking will find: by kind, Chatwoot's numbers."""
    found: dict[str, set[int]] = {"message": set(), "edit": set(), "conversation": set()}
    for one in await _differences(company, sim):
        if one.is_told:
            found[one.kind].add(one.number)
    return found


async def _differences(company: Company, sim: RecordedChatwoot) -> list[Difference]:
    """Conversations, messages that are not here, and every field that both tell."""
    here = {one["chatwootConversationId"]: one for one in await company.conversations(limit="100")}
    found = []
    for theirs in sim.told:
        number = theirs["id"]
        ours, wanted = (
            here.get(number),
            {one["id"]: one for one in sim.messages_of(number) if one["message_type"] != 2},
        )
        mine: dict[int, Json] = {}
        if ours is None:
            found.append(Difference("conversation", number))
        else:
            found += _unlike("conversation", number, _conversation(theirs), ours)
            thread = await _whole_thread(company, ours["id"])
            mine = {one["chatwootMessageId"]: one for one in thread}
            assert len(mine) == len(thread), f"{number}: some message is here twice"
            assert mine.keys() <= wanted.keys()
        for key, message in wanted.items():
            if key not in mine:
                found.append(Difference("message", key))
            else:
                found += _unlike("edit", key, _message(message), _of_ours(mine[key]))
    return found


async def _whole_thread(company: Company, conversation_id: int) -> list[Json]:
    found = await company.thread(conversation_id)
    while found:
        older = await company.get(
            f"/api/conversations/{conversation_id}/messages", params={"before": found[0]["id"]}
        )
        if not older["messages"]:
            break
        found = older["messages"] + found
    return found


def _conversation(theirs: Json) -> Json:
    meta, sender = theirs["meta"], theirs["meta"]["sender"]
    assignee = meta.get("assignee")
    return {
        "chatwootStatus": theirs["status"],
        "status": "Closed" if theirs["status"] == "resolved" else "Open",
        "labels": theirs["labels"],
        "priority": theirs["priority"],
        "canReply": theirs["can_reply"],
        "channel": meta["channel"],
        "externalUserName": sender["name"],
        "contact": {
            "id": sender["id"],
            "email": sender["email"],
            "phone": sender["phone_number"],
            "identifier": sender["identifier"],
        },
        "assignee": {"id": assignee["id"], "name": assignee["name"]} if assignee else None,
    }


def _message(theirs: Json) -> Json:
    deleted = theirs["content_attributes"].get("deleted") is True
    refusal = theirs["content_attributes"].get("external_error")
    return {
        "content": theirs["content"] or "",
        "private": theirs["private"],
        "deleted": deleted,
        "senderType": "customer" if theirs["message_type"] == 0 else "agent",
        "senderName": (theirs.get("sender") or {}).get("name"),
        "createdAt": theirs["created_at"],
        "contentType": theirs["content_type"],
        "deliveryState": theirs["status"]
        if theirs["message_type"] == 1 and theirs["status"] != "sent"
        else None,
        "refusal": shown_refusal(CHANNEL_ERROR, refusal)[1] if refusal else None,
        "attachments": sorted(
            (one["id"], one["file_type"], one["data_url"]) for one in theirs.get("attachments", ())
        ),
    }


def _of_ours(mine: Json) -> Json:
    moment = datetime.fromisoformat(mine["createdAt"].replace("Z", "+00:00"))
    names = ("content", "private", "deleted", "senderType", "senderName", "contentType")
    return {name: mine[name] for name in names} | {
        "createdAt": int(moment.timestamp()),
        "deliveryState": mine["deliveryState"],
        "refusal": (mine["deliveryError"] or {}).get("message"),
        "attachments": sorted((one["id"], one["type"], one["url"]) for one in mine["attachments"]),
    }


def _unlike(kind: str, number: int, theirs: Json, ours: Json) -> list[Difference]:
    return [
        Difference(kind, number, name, theirs[name], ours[name])
        for name in theirs
        if theirs[name] != ours[name]
    ]
