"""Random faults in two streams at once: to processes and parts one after the other, and beside them
to conditions.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pymysql

from tests.tools.soak.faults import CONDITIONS, PROCESSES_AND_PARTS, Kind
from tests.tools.soak.site import Site


class Chaos:
    """`counts` says what was done, by kind; `missed` what could not be done at that moment."""

    def __init__(self, site: Site, seed: int, *, pace: float, every_seconds: float) -> None:
        """`pace` is how long faults last (1.0: the long soak); a new one begins `every_seconds` in
        each stream.
        """
        self.counts: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self._site = site
        self._pace = pace
        self._every_seconds = every_seconds
        self._streams = [
            (kinds, random.Random(f"{seed} {number}"))
            for number, kinds in enumerate((PROCESSES_AND_PARTS, CONDITIONS))
        ]

    async def run(self, seconds: float, say: Callable[[str], None]) -> None:
        """Faults for so long, and until each kind was tried once; afterwards everything runs
        again.
        """
        end = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for kinds, rng in self._streams:
                group.create_task(self._stream(kinds, rng, end, say))

    async def _stream(
        self, kinds: Sequence[Kind], rng: random.Random, end: float, say: Callable[[str], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        deck: list[Kind] = []
        while (new := self._untried(kinds)) or loop.time() < end:
            await asyncio.sleep(rng.uniform(0.5, 1.5) * self._every_seconds)
            deck = deck or shuffled_deck(kinds, rng, new)
            say(await self._strike(deck.pop(0), rng))

    def _untried(self, kinds: Sequence[Kind]) -> set[str]:
        return {
            kind.name for kind in kinds if not self.counts[kind.name] and not self.missed[kind.name]
        }

    async def _strike(self, kind: Kind, rng: random.Random) -> str:
        try:
            done = await kind.strike(self._site, rng, self._pace)
        except pymysql.err.MySQLError as error:  # the database was away just then
            done = None
            reason = f": {error}"
        else:
            reason = ""
        (self.missed if done is None else self.counts)[kind.name] += 1
        return (
            f"{kind.name}: {done}"
            if done is not None
            else f"{kind.name} could not be done now{reason}"
        )


def shuffled_deck(kinds: Sequence[Kind], rng: random.Random, new: set[str]) -> list[Kind]:
    """Each kind as often as it weighs, in random order; those that never came yet first."""
    deck = [kind for kind in kinds for _ in range(kind.weight)]
    rng.shuffle(deck)
    first, seen = list[Kind](), set[str]()
    for kind in deck:
        if kind.name in new and kind.name not in seen:
            seen.add(kind.name)
            first.append(kind)
    for kind in first:
        deck.remove(kind)
    return [*first, *deck]
