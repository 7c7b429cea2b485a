"""`python -m tests.tools.load.hostile`: each attack of a stranger for some seconds beside 100
agents and 20 webhooks a second, and what the customers' messages and the memory had of it. On a
private MariaDB and Redis; a table at the end.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.cluster import Cluster, clustered
from tests.faults.crowd import crowd, crowd_of, wait_level
from tests.faults.oracle import check_crowd, check_stored, delays, wait_drained
from tests.faults.webhook_flow import Flow
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.tools.load.attacks import ATTACKS

_PAGE_BYTES = 4096


@dataclass(frozen=True)
class Run:
    """Of one attack, or of none."""

    name: str
    webhooks: int
    middle_seconds: float
    p99_seconds: float
    memory_bytes: int
    answers: str


async def play(cluster: Cluster, names: Sequence[str], seconds: float, agents: int) -> list[Run]:
    """First without, then each attack. Raises AssertionError when a webhook was refused, or a
    message lost, doubled or disordered.
    """
    await cluster.prepare()
    server = cluster.add_server()
    await cluster.start(server)
    found = []
    async with crowd(crowd_of([server], agents)) as people:
        flow = Flow([server], rate=20)
        for name in ("none", *names):
            for person in people:
                person.heard_at.clear()
            known = len(flow.posts)
            async with _attacked(server, name, seconds) as answers, flow.running():
                memory = await _memory(server, seconds)
            await wait_drained(cluster, flow, limit=60)
            await wait_level(people, cluster.head, limit=60)
            assert {post.status for post in flow.posts[known:]} == {200}, (name, flow.statuses())
            late = delays(flow, people)
            found.append(
                Run(
                    name,
                    len(flow.posts) - known,
                    late[len(late) // 2],
                    late[int(len(late) * 0.99)],
                    memory,
                    "".join(answers).strip(),
                )
            )
        check_crowd(people, cluster.check_log())
        check_stored(cluster, flow)
    return found


@contextlib.asynccontextmanager
async def _attacked(server: Omni, name: str, seconds: float) -> AsyncIterator[list[str]]:
    """Meanwhile, from a process of its own; what it was answered is there at the end."""
    answers: list[str] = []
    if name == "none":
        yield answers
        return
    argv = [sys.executable, "-m", "tests.tools.load.attacks", name, str(server.port), str(seconds)]
    attacker = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    try:
        yield answers
        output, _ = await attacker.communicate()
        answers.append(output.decode())
    finally:
        if attacker.returncode is None:
            attacker.kill()


async def _memory(server: Omni, seconds: float) -> int:
    """The most the process held in that time."""
    most, statm = 0, Path(f"/proc/{server.process.pid}/statm")
    for _ in range(max(1, int(seconds * 4))):
        most = max(most, int((await asyncio.to_thread(statm.read_text)).split()[1]) * _PAGE_BYTES)
        await asyncio.sleep(0.25)
    return most


def as_table(runs: Sequence[Run]) -> str:
    """Markdown."""
    columns = (
        "attack",
        "webhooks",
        "message at an agent, median",
        "99 of 100",
        "memory",
        "the attacker got",
    )
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    lines += [
        f"| {run.name} | {run.webhooks} | {run.middle_seconds * 1e3:.0f} ms | "
        f"{run.p99_seconds * 1e3:.0f} ms "
        f"| {run.memory_bytes / 1e6:.0f} MB | {run.answers} |"
        for run in runs
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.load.hostile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--only", action="append", choices=ATTACKS)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omni-hostile-")))
        mariadb, redis = MariaDB(), Redis()
        stack.callback(mariadb.close)
        stack.callback(redis.close)
        mariadb.start()
        redis.start()

        async def run() -> list[Run]:
            async with clustered(Cluster(directory, mariadb, redis)) as cluster:
                return await play(cluster, options.only or ATTACKS, options.seconds, options.agents)

        print(as_table(asyncio.run(run())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
