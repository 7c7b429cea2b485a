"""What Chatwoot never delivered is found by asking, and counted; an older answer never overwrites
newer state.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping

from server.core.times import wall_now_us
from server.lab.chatwoot_sim import ChatwootSim, serving
from tests.faults.cluster import ACCOUNT, INBOX, Cluster, clustered
from tests.faults.crowd import fetch_snapshot, follow
from tests.faults.figures import sized, told
from tests.faults.server_reports import metric, wait_problem, wait_ready
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.tcp_proxy import TcpProxy
from tests.kit.webhook import WEBHOOK_PATH

_OFTEN = {
    "RECONCILE_SECONDS": "2",
    "RECONCILE_QUIET_SECONDS": "2",
    "RECONCILE_GRACE_SECONDS": "3",
    "WEBHOOK_LOST_SECONDS": "3",
}


@contextlib.asynccontextmanager
async def _shop(
    cluster: Cluster,
    sim: ChatwootSim,
    *,
    through_proxy: bool = False,
    env: Mapping[str, str] = _OFTEN,
) -> AsyncIterator[tuple[Omni, TcpProxy]]:
    """A server that reconciles often with this Chatwoot, perhaps through a proxy; webhooks come
    directly.
    """
    async with (
        clustered(cluster),
        serving(sim),
        TcpProxy(int(sim.base_url.rpartition(":")[2])) as proxy,
    ):
        address = f"http://127.0.0.1:{proxy.port}" if through_proxy else sim.base_url
        await cluster.prepare(address, sim.admin.access_token)
        server = cluster.add_server(env=env)
        sim.add_webhook(server.base_url + WEBHOOK_PATH, secret="")
        await cluster.start(server)
        # what the first round finds was there before us, and is not counted
        await eventually(
            lambda: (
                int(
                    cluster.sql(
                        "SELECT omni_reconciled_at FROM integrations",
                    )[0]["omni_reconciled_at"]
                    or 0
                )
                > 0
            ),
            limit=10,
        )
        yield server, proxy


def _texts(sim: ChatwootSim) -> set[str]:
    return {message.content or "" for message in sim.messages.values() if message.message_type != 2}


async def _has_all(server: Omni, sim: ChatwootSim) -> bool:
    model = await fetch_snapshot(server)
    held = {message["content"] for message in model.messages.values()}
    assert held == _texts(sim), (
        f"missing {sorted(_texts(sim) - held)[:5]}, too many {sorted(held - _texts(sim))[:5]}"
    )
    return True


async def test_dropped_webhooks_are_found_and_counted(cluster: Cluster) -> None:
    """Row 41: Chatwoot drops a fifth of its webhooks, in a chat longer than a page as well: all
    repaired, the count equals the drops.
    """
    count = int(sized(60, 2000))
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX, rng=random.Random(5))
    async with _shop(cluster, sim) as (server, _):
        async with follow(server) as agent:
            sim.switches.set(drop_rate=sized(0.2, 0.05))
            dropped = set[str]()  # as it goes: the log keeps the last ones only
            for number in range(count):
                sim.customer_says(
                    "Talkative" if number % 2 else f"Customer {number % 5}", f"text {number}"
                )
                # within the grace, else reconcile is the quicker one and rightly counts it
                await sim.webhooks.flushed()
                dropped |= {
                    d.id
                    for d in sim.webhooks.log
                    if d.state == "dropped" and d.event == "message_created"
                }
            assert len(dropped) > 5
            await eventually(lambda: _has_all(server, sim), limit=sized(20, 60))
            await agent.wait_for_seq(cluster.check_log())
            assert agent.model == await fetch_snapshot(server)
        assert await metric(server, "repairs_total", kind="message") == len(dropped)
        lost = "SELECT COUNT(*) AS n FROM omni_found_by_asking WHERE state = 'lost'"
        await eventually(
            lambda: int(cluster.sql(f"{lost} AND kind = 'message'")[0]["n"]) == len(dropped),
            limit=20,
        )
        await eventually(
            lambda: not cluster.sql("SELECT id FROM omni_found_by_asking WHERE state = 'open'"),
            limit=20,
        )
        found = int(cluster.sql(lost)[0]["n"])
        assert (
            int(
                cluster.sql("SELECT omni_repaired_count FROM integrations")[0][
                    "omni_repaired_count"
                ]
            )
            == found
        )
        told("41", messages=count, dropped=len(dropped), repaired=found)


async def test_late_webhooks_are_not_lost(cluster: Cluster) -> None:
    """Row 41: a busy Chatwoot sends its webhooks late: asking is quicker, yet none is counted as
    lost; it is said how late they are.
    """
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with _shop(
        cluster, sim, env=_OFTEN | {"RECONCILE_GRACE_SECONDS": "0", "WEBHOOK_LOST_SECONDS": "60"}
    ) as (server, _):
        sim.switches.set(delay_seconds=12.0)
        for number in range(5):
            sim.customer_says(f"Customer {number}", f"late {number}")
        await eventually(lambda: _has_all(server, sim))
        assert {
            row["state"]
            for row in cluster.sql("SELECT state FROM omni_found_by_asking WHERE kind = 'message'")
        } == {"open"}
        await wait_problem(server, "s late")
        late = "SELECT id FROM omni_found_by_asking WHERE kind = 'message' AND state = 'late'"
        await eventually(lambda: len(cluster.sql(late)) == 5, limit=30)
        assert (
            int(
                cluster.sql("SELECT omni_repaired_count FROM integrations")[0][
                    "omni_repaired_count"
                ]
            )
            == 0
        )
        assert await metric(server, "webhooks_lost_total") == 0


async def test_changes_while_webhooks_are_off(cluster: Cluster) -> None:
    """Rows 38 and 41: nothing arrives; new messages, edits, deletions and states are found although
    Chatwoot answers 429, 500, half and 401 in between; the status page says that webhooks do not
    arrive.
    """
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with _shop(cluster, sim) as (server, _):
        first = sim.customer_says("Mira", "first")
        edited, gone = (
            sim.customer_says("Mira", "to be edited"),
            sim.customer_says("Mira", "to be deleted"),
        )
        await sim.webhooks.flushed()
        await eventually(lambda: _has_all(server, sim))
        sim.switches.set(drop_rate=1.0, unauthorized=True)
        sim.edit_message(edited, "edited")
        sim.delete_message(gone)
        sim.set_status(first.conversation, "resolved", by=sim.admin)
        for number in range(45):  # more than a page
            sim.customer_says("Noor", f"unheard {number}")
        await wait_problem(server, "Chatwoot cannot be asked")
        # a round is under way, and its process dies: the others may go on soon
        sim.switches.set(latency_seconds=1.0)
        await eventually(
            lambda: (
                int(cluster.sql("SELECT omni_lease_until FROM integrations")[0]["omni_lease_until"])
                > 0
            )
        )
        await asyncio.to_thread(server.kill9)
        left_us = (
            int(cluster.sql("SELECT omni_lease_until FROM integrations")[0]["omni_lease_until"])
            - wall_now_us()
        )
        assert left_us < 60_000_000, f"nobody reconciles for {left_us / 1e6} s"
        cluster.sql("UPDATE integrations SET omni_lease_until = 0")  # that time passes
        await asyncio.to_thread(server.start)
        sim.switches.set(latency_seconds=0.0)
        sim.switches.set(unauthorized=False, fail_next=4, truncate_next=2, limit_next=1)

        async def is_whole() -> bool:
            model = await fetch_snapshot(server)
            held = {message["content"]: message for message in model.messages.values()}
            assert {m["content"] for m in held.values() if not m["deleted"]} == _texts(sim) - {
                gone.content
            }, sorted(held)
            assert [m["deleted"] for m in model.messages.values()].count(True) == 1
            assert {c["externalUserName"]: c["status"] for c in model.conversations.values()} == {
                "Mira": "Closed",
                "Noor": "Open",
            }
            return True

        await eventually(is_whole, limit=40)
        sim.customer_says("Noor", "still unheard")  # long after the last webhook
        await wait_problem(server, "webhooks do not arrive")
        sim.switches.reset()
        sim.customer_says("Noor", "heard again")
        await wait_ready(server, limit=15)


async def test_older_answer_after_newer_webhook(cluster: Cluster) -> None:
    """Row 42: lists read from Chatwoot arrive a second late, after newer webhooks: what agents see
    never goes back.
    """
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    sim.webhooks.concurrency = 1
    async with _shop(cluster, sim, through_proxy=True) as (server, proxy):
        async with follow(server) as agent:
            message = sim.customer_says("Mira", "version 0")
            await agent.wait_for(lambda event: event.kind == "message.created")
            await asyncio.sleep(3)  # past the grace, so that reconcile looks at it
            proxy.delay_seconds = 0.5
            for number in range(1, 30):
                sim.edit_message(message, f"version {number}")
                sim.set_priority(message.conversation, ("low", "high")[number % 2])
                await asyncio.sleep(0.2)
            await sim.webhooks.flushed()
            proxy.delay_seconds = 0.0
            passed = proxy.passed_bytes["to_client"]
            await eventually(lambda: proxy.passed_bytes["to_client"] > passed, limit=10)
            await eventually(lambda: _has_all(server, sim))
            await agent.wait_for_seq(cluster.check_log())
        versions = [
            int(event.data["message"]["content"].split()[1])
            for event in agent.events
            if "message" in event.data
        ]
        assert versions == sorted(versions), versions
        assert versions[-1] == 29


async def test_a_chatwoot_that_hangs_holds_back_no_other(cluster: Cluster) -> None:
    """Row 41: three integrations of a Chatwoot that accepts and then says nothing; the one of
    another Chatwoot is repaired all the same.
    """
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with (
        clustered(cluster),
        serving(sim),
        TcpProxy(int(sim.base_url.rpartition(":")[2])) as proxy,
    ):
        proxy.freeze()
        await cluster.prepare(f"http://127.0.0.1:{proxy.port}", sim.admin.access_token)
        for inbox_id in (INBOX + 1, INBOX + 2):
            await cluster.add_integration(
                f"http://127.0.0.1:{proxy.port}", sim.admin.access_token, inbox_id=inbox_id
            )
        last = await cluster.add_integration(sim.base_url, sim.admin.access_token, inbox_id=INBOX)
        sim.customer_says("Mira", "never told of")
        server = cluster.add_server(env=_OFTEN | {"RECONCILE_GRACE_SECONDS": "0"})
        sim.add_webhook(server.base_url + WEBHOOK_PATH, secret="")
        await cluster.start(server)
        await eventually(lambda: cluster.stored() == {"never told of": 1}, limit=15)
        found = cluster.sql("SELECT omni_integration_id FROM social_conversations")
        assert [row["omni_integration_id"] for row in found] == [last]
        proxy.thaw()


async def test_webhooks_that_came_to_another_process_did_arrive(cluster: Cluster) -> None:
    """Row 41: one process gets all webhooks, the other one repairs a dropped one: neither says that
    webhooks do not arrive.
    """
    sim = ChatwootSim(account_id=ACCOUNT, inbox_id=INBOX)
    async with _shop(
        cluster, sim, env={"RECONCILE_SECONDS": "3600", "RECONCILE_QUIET_SECONDS": "3600"}
    ) as (server, _):
        other = cluster.add_server(env=_OFTEN)
        await cluster.start(other)
        sim.switches.set(drop_rate=1.0)
        sim.customer_says("Mira", "unheard")
        await sim.webhooks.flushed()
        sim.switches.reset()
        async with _heard(sim):
            await eventually(lambda: "unheard" in cluster.stored(), limit=20)
            assert await metric(other, "repairs_total", kind="message") == 1
            for one in (server, other):
                await wait_ready(one)


@contextlib.asynccontextmanager
async def _heard(sim: ChatwootSim) -> AsyncIterator[None]:
    """Customers whose webhooks do arrive, all the while."""
    stopped = asyncio.Event()

    async def talk() -> None:
        while not stopped.is_set():
            sim.customer_says("Noor", f"heard {time.monotonic()}")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await stopped.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(talk())
        try:
            yield
        finally:
            stopped.set()
