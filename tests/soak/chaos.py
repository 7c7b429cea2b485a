"""Random faults, one after the other: kill -9 or a freeze of a server process, Redis or MariaDB."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

from tests.kit.omni import Omni
from tests.kit.processes import ServerProcess

_SHORT_SECONDS = (0.0, 4.0)


class Chaos:
    """`counts` says what was done, by kind and victim."""

    def __init__(self, servers: Sequence[Omni], mariadb: ServerProcess, redis: ServerProcess, rng: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self._rng = rng
        self._victims: list[tuple[str, ServerProcess]] = [(f"server {n}", server.process) for n, server in enumerate(servers)]
        # servers are hit as often as everything else together
        self._victims += [*self._victims, ("Redis", redis), ("MariaDB", mariadb), ("MariaDB", mariadb)]

    @property
    def kills(self) -> int:
        return sum(count for name, count in self.counts.items() if name.startswith("kill"))

    async def run(self, seconds: float, every_seconds: float, say: Callable[[str], None]) -> None:
        """Faults for so long; afterwards everything runs again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(left, self._rng.uniform(0.5, 1.5) * every_seconds))
            if loop.time() < end:
                say(await self._strike())

    async def _strike(self) -> str:
        name, victim = self._rng.choice(self._victims)
        pause = self._rng.uniform(*_SHORT_SECONDS)
        is_kill = self._rng.random() < 0.8
        if is_kill:
            await asyncio.to_thread(victim.kill)
        else:
            victim.freeze()
        await asyncio.sleep(pause)
        if is_kill:
            await asyncio.to_thread(victim.start)
        else:
            victim.thaw()
        kind = "kill -9" if is_kill else "freeze"
        self.counts[f"{kind} {name}"] += 1
        return f"{kind} {name}, {pause:.1f} s"
