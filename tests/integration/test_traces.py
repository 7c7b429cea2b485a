"""Traces, told by real servers to a real receiver of OTLP: one webhook or one reply is one trace,
through all processes it comes by.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.lab.chatwoot_sim import ChatwootSim
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.otlp import Collector, SeenSpan
from tests.kit.redis import Redis
from tests.kit.servers import QUICK
from tests.kit.webhook import WEBHOOK_PATH, delivery_of

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"  # pragma: allowlist secret
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@asynccontextmanager
async def serving(server: Omni, *others: Omni) -> AsyncIterator[Company]:
    """A company of its own on servers of its own."""
    await asyncio.to_thread(server.prepare)
    async with AsyncExitStack() as stack:
        for one in (server, *others):
            stack.callback(one.kill9)
            await asyncio.to_thread(one.start)
        yield await stack.enter_async_context(Company(server))


async def seen(collector: Collector, trace_id: str, **wanted: int) -> dict[str, list[SeenSpan]]:
    """The spans of a trace by name, when there are as many as wanted of each; and no others."""

    async def is_whole() -> dict[str, list[SeenSpan]] | None:
        found = collector.of_trace(trace_id)
        counts = {
            name.replace(" ", "_").replace("-", "_"): len(spans) for name, spans in found.items()
        }
        assert counts == wanted
        return found

    return await eventually(is_whole, limit=15)


async def test_a_webhook_is_one_trace_through_two_processes(
    collector: Collector, mariadb: MariaDB, redis_server: Redis, tmp_path: Path
) -> None:
    """It continues the caller's, and holds the commit, the transaction, and the way to all sockets
    of each process as one span.
    """
    first = Omni(
        tmp_path,
        database_url=mariadb.create_database(),
        broadcast_url=redis_server.url,
        env=QUICK | collector.env,
    )
    second = first.another(env=collector.env)
    async with (
        serving(first, second) as company,
        company.socket() as one,
        company.socket() as two,
        company.socket(url=second.ws_url) as there,
    ):
        delivery = delivery_of(company.message(1))
        posted = await company.http.post(
            WEBHOOK_PATH, content=delivery.body, headers=dict(delivery.headers) | SAMPLED
        )
        assert posted.status_code == 200
        for agent in (one, two, there):
            await agent.wait_until(lambda agent=agent: len(agent.events) >= 1)  # type: ignore[misc]
        spans = await seen(
            collector, TRACE, webhook=1, journal_append=1, ingest=1, publish=1, fan_out=2
        )
    [webhook], [append], [ingest], [publish] = (
        spans[name] for name in ("webhook", "journal append", "ingest", "publish")
    )
    assert webhook.parent_id == CALLER
    assert append.parent_id == ingest.parent_id == webhook.span_id
    assert {publish.parent_id, *(walk.parent_id for walk in spans["fan-out"])} == {ingest.span_id}
    assert sorted(int(walk.attributes["omni_inbox.sockets"]) for walk in spans["fan-out"]) == [1, 2]
    assert ingest.attributes["omni_inbox.company_id"] == company.id
    assert webhook.service == "omni-inbox"
    assert (
        webhook.began_ns
        <= append.began_ns
        <= ingest.began_ns
        <= min(walk.began_ns for walk in spans["fan-out"])
    )


async def test_a_batch_is_linked_to_all_its_deliveries(
    collector: Collector, tmp_path: Path
) -> None:
    """It cannot continue them all: each one's trace leads to it, one way or the other; and nobody's
    is told twice.
    """
    server = Omni(
        tmp_path, database_url=f"sqlite:///{tmp_path / 'omni.db'}", env=QUICK | collector.env
    )
    traces = [f"{number:032x}" for number in range(1, 41)]
    async with serving(server) as company:
        async with asyncio.TaskGroup() as group:
            for number, trace in enumerate(traces, 1):
                delivery = delivery_of(company.message(number))
                headers = dict(delivery.headers) | {"traceparent": f"00-{trace}-{CALLER}-01"}
                group.create_task(
                    company.http.post(WEBHOOK_PATH, content=delivery.body, headers=headers)
                )

        async def are_all_reached() -> bool:
            ingests = [span for span in list(collector.spans) if span.name == "ingest"]
            reached = [trace for span in ingests for trace in (span.trace_id, *span.links)]
            assert sorted(reached) == traces
            return True

        await eventually(are_all_reached, limit=15)
    assert (
        sum(
            int(span.attributes["omni_inbox.deliveries"])
            for span in collector.spans
            if span.name == "ingest"
        )
        == 40
    )


async def test_what_the_caller_does_not_sample_is_not_told(
    collector: Collector, tmp_path: Path
) -> None:
    """Neither the webhook nor what comes of it; a header that cannot be read is none, and begins a
    trace of its own.
    """
    server = Omni(
        tmp_path, database_url=f"sqlite:///{tmp_path / 'omni.db'}", env=QUICK | collector.env
    )
    async with serving(server) as company:
        for number, traceparent in enumerate([f"00-{TRACE}-{CALLER}-00", "nonsense\u00e9"], 1):
            delivery = delivery_of(company.message(number))
            headers = [(name.encode(), value.encode()) for name, value in delivery.headers.items()]
            headers.append((b"traceparent", traceparent.encode("latin-1")))
            assert (
                await company.http.post(WEBHOOK_PATH, content=delivery.body, headers=headers)
            ).status_code == 200
            await company.conversation_with(number)
        await eventually(
            lambda: [span for span in list(collector.spans) if span.name == "ingest"], limit=15
        )
        shown = [
            json.loads(server.cli("deliveries", "show", number).stdout) for number in ("1", "2")
        ]
    assert collector.of_trace(TRACE) == {}
    assert shown[0]["traceparent"] is None
    assert shown[1]["traceparent"].split("-")[1] in {span.trace_id for span in collector.spans}
    assert [span.parent_id for span in collector.spans if span.name == "webhook"] == [""]


async def test_a_reply_is_one_trace_until_chatwoot_has_it(
    collector: Collector, sim: ChatwootSim, tmp_path: Path
) -> None:
    """From the agent's request to the call that sends it, with what that came to."""
    server = Omni(
        tmp_path, database_url=f"sqlite:///{tmp_path / 'omni.db'}", env=QUICK | collector.env
    )
    await asyncio.to_thread(server.prepare)
    try:
        await asyncio.to_thread(server.start)
        async with Company(server, chatwoot=sim) as company:
            sim.add_webhook(server.base_url + WEBHOOK_PATH, secret="")
            said = sim.customer_says("Rahima", "Is it still there?")
            here = await company.conversation_with(1, display_id=said.conversation.display_id)
            path = f"/api/conversations/{here['id']}/reply"
            assert (
                await company.http.post(path, json={"content": "Yes"}, headers=SAMPLED)
            ).status_code == 201
            spans = await seen(collector, TRACE, reply=1, send_to_Chatwoot=1)
    finally:
        await asyncio.to_thread(server.kill9)
    [reply], [call] = spans["reply"], spans["send to Chatwoot"]
    assert (reply.parent_id, call.parent_id) == (CALLER, reply.span_id)
    assert call.attributes["omni_inbox.outcome"] == "sent"


async def test_a_collector_that_is_away_harms_nothing(tmp_path: Path) -> None:
    """Webhooks are answered, events arrive, and the process stops in time."""
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    server = Omni(tmp_path, database_url=f"sqlite:///{tmp_path / 'omni.db'}", env=QUICK | nowhere)
    async with serving(server) as company:
        async with company.socket() as agent:
            await company.post(company.message(1))
            await agent.wait_until(lambda: len(agent.events) >= 1)
        await asyncio.to_thread(server.terminate)


async def test_at_debug_level_the_lines_of_a_delivery_join(tmp_path: Path) -> None:
    """The commit by the deliveries' own names, the batch by their numbers and seqs, the walk by the
    same seqs.
    """
    server = Omni(
        tmp_path,
        database_url=f"sqlite:///{tmp_path / 'omni.db'}",
        env=QUICK | {"LOG_LEVEL": "DEBUG"},
    )
    async with serving(server) as company, company.socket() as agent:
        await company.post(company.message(1, "words of a customer"))
        await agent.wait_until(lambda: len(agent.events) >= 1)
        await eventually(lambda: lines(server, "fan-out"))  # written after the last socket
        [(number, uid)] = [
            tuple(row) for row in await company.rows("SELECT id, uid FROM omni_webhook_deliveries")
        ]
        [kept] = lines(server, "deliveries kept")
        [batch] = lines(server, "batch")
        [walk] = lines(server, "fan-out")
    assert kept["uids"] == [uid]
    assert (batch["delivery_ids"], batch["company_id"]) == ([number], company.id)
    assert (walk["first_seq"], walk["last_seq"], walk["sockets"]) == (
        batch["first_seq"],
        batch["last_seq"],
        1,
    )
    assert all(batch[name] >= 0 for name in ("waited_ms", "ingest_ms", "publish_ms"))
    assert "words of a customer" not in server.log


def lines(server: Omni, event: str) -> list[dict[str, Any]]:
    found = []
    for line in server.log.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if told.get("event") == event:
            found.append(told)
    return found
