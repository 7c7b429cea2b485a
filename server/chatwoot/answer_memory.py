"""The memory that the answers of all Chatwoots may hold in this process, in bytes.

One answer is bounded by itself, but many companies' answers arrive at once, and each company
chooses the server that we read from. What an answer takes is counted while it is read, and
afterwards as long as the decoded answer lives.
"""

import asyncio
from collections import Counter, deque
from typing import Any

from server.chatwoot.answers import JsonObject

# Below this an answer is not counted: nearly all are, and the pool's connections bound how many are
# read at once.
UNCOUNTED_BYTES = 256 * 1024
DEFAULT_MAX_BYTES = 256 * 1024 * 1024
# one company's part: the others' answers go on while a hostile or a huge Chatwoot is read
COMPANY_SHARE = 0.5
MAX_WAIT_SECONDS = 10.0
# of four bytes of JSON, `[],`, or `"a":{}`, as much as a dictionary and its place
_VALUE_BYTES = 100
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))


class AnswerMemoryFull(Exception):
    """The bytes could not be had: in time, or at all."""

    def __init__(self, *, is_final: bool = False) -> None:
        """`is_final`: more than a company may ever have."""
        super().__init__()
        self.is_final = is_final


class AnswerMemory:
    """A budget of bytes; one object for the process, used in its event loop alone.

    A reader asks for more as its answer grows, and waits while it holds what it has. When all
    readers wait, one of the company that holds most is refused at once, so that the others can
    finish: nobody waits for nothing.
    """

    def __init__(
        self, max_bytes: int = DEFAULT_MAX_BYTES, *, max_wait_seconds: float = MAX_WAIT_SECONDS
    ) -> None:
        self.max_bytes = max_bytes
        self.company_bytes = int(max_bytes * COMPANY_SHARE)
        self._max_wait_seconds = max_wait_seconds
        self._held_bytes = 0
        self._by_company = Counter[int]()
        self._reading = 0  # answers that are being read and hold bytes
        self._waiters: list[_Waiter] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        # returned by whichever thread the garbage collector ran in; (company, bytes, readers)
        self._returned = deque[tuple[int, int, int]]()

    @property
    def held_bytes(self) -> int:
        """Bytes that are held now."""
        self._settle()
        return self._held_bytes

    @property
    def waiting(self) -> int:
        """How many wait for bytes."""
        return len(self._waiters)

    def hold(self, company_id: int) -> "HeldBytes":
        """A hold of nothing, which grows. To be released, or left to the garbage collector."""
        return HeldBytes(self, company_id)

    async def reserve(
        self, company_id: int, more: int, *, holds: int = 0, is_reader: bool = False
    ) -> None:
        """Wait for bytes, for an answer that `holds` some; `is_reader`: it is being read.
        Cancelling takes nothing.

        Raises AnswerMemoryFull.
        """
        self._settle()
        if holds + more > self.company_bytes:
            raise AnswerMemoryFull(is_final=True)
        if self._fits(company_id, more):
            self._add(company_id, more)
            return
        self._loop = asyncio.get_running_loop()
        waiter = _Waiter(company_id, more, is_reader, self._loop.create_future())
        self._waiters.append(waiter)
        is_reserved = False
        try:
            self._refuse_if_stuck()
            async with asyncio.timeout(self._max_wait_seconds):
                await waiter.outcome
            is_reserved = True
        except TimeoutError:
            raise AnswerMemoryFull from None
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if waiter.is_admitted and not is_reserved:
                self._add(company_id, -more)
            if waiter.outcome.done() and not waiter.outcome.cancelled():
                waiter.outcome.exception()  # seen, also where the wait was cancelled meanwhile
            self._admit()

    def give_back(self, company_id: int, count: int, *, readers: int = 0) -> None:
        """May be called from any thread, by the garbage collector as well. `readers`: so many have
        ended.
        """
        self._returned.append((company_id, count, readers))
        loop = self._loop
        if self._waiters and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._admit)

    def note_reader(self) -> None:
        """One that holds bytes now, and may wait for more."""
        self._reading += 1

    def _fits(self, company_id: int, more: int) -> bool:
        fits_company = self._by_company[company_id] + more <= self.company_bytes
        return fits_company and self._held_bytes + more <= self.max_bytes

    def _add(self, company_id: int, count: int) -> None:
        self._held_bytes += count
        self._by_company[company_id] += count
        if not self._by_company[company_id]:
            del self._by_company[company_id]

    def _settle(self) -> None:
        while self._returned:
            company_id, count, readers = self._returned.popleft()
            self._add(company_id, -count)
            self._reading -= readers

    def _admit(self) -> None:
        """Admits waiters that fit, those of the company that holds least first."""
        self._settle()
        for waiter in sorted(self._waiters, key=lambda one: self._by_company[one.company_id]):
            if not waiter.outcome.done() and self._fits(waiter.company_id, waiter.more):
                self._add(waiter.company_id, waiter.more)
                waiter.is_admitted = True
                waiter.outcome.set_result(None)
        self._waiters = [waiter for waiter in self._waiters if not waiter.outcome.done()]
        self._refuse_if_stuck()

    def _refuse_if_stuck(self) -> None:
        """Where each reader that holds something waits for more, only a refusal gives anything
        back.
        """
        readers = [one for one in self._waiters if one.is_reader and not one.outcome.done()]
        if readers and len(readers) >= self._reading:
            largest = max(readers, key=lambda one: self._by_company[one.company_id])
            largest.outcome.set_exception(AnswerMemoryFull())


class _Waiter:
    def __init__(
        self, company_id: int, more: int, is_reader: bool, outcome: "asyncio.Future[None]"
    ) -> None:
        self.company_id = company_id
        self.more = more
        self.is_reader = is_reader
        self.outcome = outcome
        self.is_admitted = False


class HeldBytes:
    """The bytes that one answer holds. Not for threads, except that it may be collected in any."""

    def __init__(self, memory: AnswerMemory, company_id: int) -> None:
        self._memory = memory
        self._company_id = company_id
        self._count = 0
        self._is_reading = False

    @property
    def count(self) -> int:
        """Bytes that this answer holds."""
        return self._count

    async def grow_for(self, needed: int, most: int) -> None:
        """Have room for so many bytes; in doublings up to `most`, so that it seldom waits. Raises
        AnswerMemoryFull.
        """
        if needed <= max(self._count, UNCOUNTED_BYTES):
            return
        wanted = max(self._count, UNCOUNTED_BYTES)
        while wanted < needed:
            wanted *= 2
        wanted = max(min(wanted, most, self._memory.company_bytes), needed)
        await self._reserve(wanted - self._count)
        self._count = wanted
        if not self._is_reading:
            self._is_reading = True
            self._memory.note_reader()

    async def settle_at(self, count: int) -> None:
        """Corrects the reservation to so many bytes, once the answer is read. Raises
        AnswerMemoryFull.
        """
        if count <= UNCOUNTED_BYTES:
            count = 0
        if count > self._count:
            await self._reserve(count - self._count)
        self._count = max(self._count, count)
        self._shrink_to(count)

    def release(self) -> None:
        """More than once does nothing."""
        self._shrink_to(0)

    async def _reserve(self, more: int) -> None:
        is_reader = self._is_reading
        await self._memory.reserve(self._company_id, more, holds=self._count, is_reader=is_reader)

    def _shrink_to(self, count: int) -> None:
        less, readers = self._count - count, int(self._is_reading)
        self._count = count
        self._is_reading = False
        if less or readers:
            self._memory.give_back(self._company_id, less, readers=readers)

    def __del__(self) -> None:
        self.release()


class _HeldObject(JsonObject):
    held: HeldBytes


class _HeldList(list[Any]):
    held: HeldBytes


def keep_held(answer: Any, held: HeldBytes) -> Any:
    """The decoded answer, with its bytes counted until it is collected."""
    if not held.count or not isinstance(answer, dict | list):
        held.release()
        return answer
    kept = _HeldObject(answer) if isinstance(answer, dict) else _HeldList(answer)
    kept.held = held
    return kept


def decoded_bytes(body: bytes) -> int:
    """An estimate of the bytes that a body needs once it is decoded: its texts, and an object for
    each value.

    Python keeps each text with the width of its widest sign. The widest of all is taken for all:
    one emoji in a text of a million letters makes it four million bytes. Signs of JSON within texts
    are counted as values too: rather too much.
    """
    values = body.count(b",") + body.count(b"{") + body.count(b"[") + 1
    if body.isascii():
        return len(body) + _VALUE_BYTES * values
    signs = len(body.translate(None, _CONTINUATION_BYTES))
    widest = max(body)
    return signs * (4 if widest >= 0xF0 else 2 if widest >= 0xC4 else 1) + _VALUE_BYTES * values
