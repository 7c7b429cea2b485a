"""The oracle at the end of a fault test: what was acknowledged is stored once, and heard
in order.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from tests.faults.cluster import Cluster
from tests.faults.lean_agent import LeanAgent
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually


def check_crowd(agents: Sequence[LeanAgent], head: int) -> None:
    """Every event since each agent's beginning, once, in order, and no reset."""
    for agent in agents:
        assert not agent.resets, f"told to take a snapshot without need: {agent.resets}"
        assert not agent.violations, agent.violations[:5]
        assert agent.events == head - agent.first_seq, (
            f"{agent.events} of {head - agent.first_seq} events"
        )


def check_conversation_order(texts: Sequence[str]) -> None:
    """Texts `c<conversation>-<number>` come with rising numbers within each conversation."""
    last: Counter[str] = Counter()
    for text in texts:
        conversation, _, number = text.partition("-")
        assert int(number) > last[conversation], f"{text} after {conversation}-{last[conversation]}"
        last[conversation] = int(number)


def check_stored(cluster: Cluster, flow: Flow) -> None:
    """Everything acknowledged is in the store, nothing twice, and nothing that was never sent."""
    stored = cluster.stored()
    missing = [text for text in flow.acknowledged if text not in stored]
    assert not missing, f"{len(missing)} acknowledged webhooks are lost: {missing[:5]}"
    assert max(stored.values(), default=1) == 1, stored.most_common(3)
    assert set(stored) <= {post.text for post in flow.posts}


async def wait_drained(cluster: Cluster, flow: Flow, limit: float = 20.0) -> float:
    """Until everything acknowledged is in the store; returns how many seconds that took."""
    started = time.monotonic()

    async def is_drained() -> bool:
        stored = await asyncio.to_thread(cluster.stored)
        missing = [text for text in flow.acknowledged if text not in stored]
        assert not missing, (
            f"{len(missing)} missing, journal {await asyncio.to_thread(cluster.states)}"
        )
        return True

    await eventually(is_drained, limit)
    return time.monotonic() - started


def delays(flow: Flow, agents: Sequence[LeanAgent]) -> list[float]:
    """Seconds from the answer to a webhook until an agent heard its text, the shortest first."""
    posts = flow.acknowledged
    return sorted(
        at - posts[text].answered_at
        for agent in agents
        for text, at in agent.heard_at.items()
        if text in posts
    )
