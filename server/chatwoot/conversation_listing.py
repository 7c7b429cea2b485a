"""All conversations of an inbox, and those active lately.

Chatwoot's list is sorted by one column, and rows that are equal in it stand differently from page
to page, so that a pass over the pages can miss some. Rows also move while one reads, the page
length is a setting of Chatwoot's, and one page can fail for ever while all others come. So nothing
is concluded from a page: passes in different orders are compared with Chatwoot's own count, which
every answer carries, and what is still missing is asked for by its number: the numbers of an
account go up by one, and are never used again.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from server.chatwoot.answers import ChatwootError, ChatwootRefused
from server.chatwoot.client import ACTIVITY, ChatwootClient
from server.core.times import parse_time

Json = dict[str, Any]

_ORDERS = (ACTIVITY, "created_at_asc", "last_activity_at_asc", "created_at_desc")
_MAX_PASSES = 6
_MAX_RECENT_PASSES = 3
_MAX_IDLE_PAGES = 3  # in a row with nothing new: the list is at its end, or goes round in a circle
_MAX_FAILED_PAGES = 3  # in a row: then it is not one question that fails
_MAX_FAILED_PASSES = 2
_MAX_PAGES = 20_000
_MAX_PROBES = 2_000  # conversations that one walk asks for by number
_ABSENT = (401, 403, 404)  # deleted, or not for the token's owner


class Pages:
    """One pass over the pages of a list, in one order."""

    def __init__(self, client: ChatwootClient, inbox_id: int | None, order: str) -> None:
        self._client = client
        self._inbox_id = inbox_id
        self._order = order
        self.ids = set[int]()
        # conversations there are, as the first and the last answer said
        self.first_count: int | None = None
        self.count: int | None = None
        self.problem: str | None = None  # of a page that could not be read

    async def rows(self) -> AsyncIterator[list[Json]]:
        """Pages as they come, until they bring nothing new. Raises ChatwootError when several fail
        in a row.
        """
        idle = failed = 0
        for page in range(1, _MAX_PAGES):
            try:
                answer = await self._client.list_conversations(
                    page, inbox_id=self._inbox_id, order=self._order
                )
            except ChatwootRefused:
                raise
            except ChatwootError as error:
                self.problem, failed = error.message, failed + 1
                if failed >= _MAX_FAILED_PAGES:
                    raise
                continue
            failed, self.count = 0, answer.count
            self.first_count = answer.count if self.first_count is None else self.first_count
            new = [row for row in answer.rows if row.get("id") not in self.ids]
            self.ids.update(number for row in new if isinstance(number := row.get("id"), int))
            if new:
                yield new
            idle = 0 if new else idle + 1
            if len(self.ids) >= answer.count or idle >= _MAX_IDLE_PAGES:
                return


class Listing:
    """All conversations of an inbox. Use once."""

    def __init__(
        self, client: ChatwootClient, inbox_id: int | None, absent: set[int] | None = None
    ) -> None:
        """`absent` remembers numbers that no conversation of this inbox has, from one listing to
        the next.
        """
        self._client = client
        self._inbox_id = inbox_id
        self._absent = set[int]() if absent is None else absent
        self._alive = set[int]()  # seen in this pass, or asked for by number
        self.found = set[int]()
        self.count: int | None = None
        self.is_proved = False
        self.problem: str | None = None
        self._failures = 0  # passes in a row that came to no end

    async def rows(self) -> AsyncIterator[Json]:
        """Each conversation once, as it was first seen. Afterwards `is_proved` says whether these
        are all: every conversation that was there all the while. Raises ChatwootError where
        Chatwoot does not answer, or refuses.
        """
        for number in range(_MAX_PASSES):
            pages = Pages(self._client, self._inbox_id, _ORDERS[number % len(_ORDERS)])
            top = max(self.found, default=0)
            try:
                async for rows in pages.rows():
                    self.count = pages.count
                    for row in self._new(rows):
                        yield row
                    # what is numbered above the first page may have come while we read
                    top = top or max(self.found, default=0)
            except ChatwootRefused:
                raise
            except ChatwootError:
                self._failures += 1
                if self._failures >= _MAX_FAILED_PASSES:
                    raise
                continue
            self._failures = 0
            if await self._agrees(pages, top):
                self.is_proved = True
                return
        async for row in self._probe():
            yield row
        if not self.is_proved and not self.problem:
            self.problem = (
                f"Chatwoot counts {self.count} conversations, {len(self.found)} of which could "
                "be listed"
            )

    def _new(self, rows: list[Json]) -> Iterator[Json]:
        for row in rows:
            if isinstance(number := row.get("id"), int) and number not in self.found:
                self.found.add(number)
                yield row

    async def _agrees(self, pages: Pages, top: int) -> bool:
        """Whether Chatwoot's count is that of what this pass saw, and nothing came or went
        meanwhile.
        """
        self._alive = set(pages.ids)
        if pages.count is None or pages.first_count != pages.count:
            return False
        earlier = self.found - pages.ids  # deleted since, or hidden by a tie
        if pages.count - len(self._alive) > len(earlier) or len(earlier) > _MAX_PROBES:
            return False
        for number in earlier:
            if await self._ask(number) is not None:
                self._alive.add(number)
        return len(self._alive) == pages.count and max(pages.ids, default=0) <= top

    async def _probe(self) -> AsyncIterator[Json]:
        """Ask for the numbers that no page had, the newest first."""
        known = self.found | self._absent
        left = [
            number for number in range(max(self.found, default=0), 0, -1) if number not in known
        ]
        self.is_proved = len(left) <= _MAX_PROBES
        for number in left[:_MAX_PROBES]:
            try:
                row = await self._ask(number)
            except ChatwootRefused:
                raise
            except ChatwootError as error:
                self.is_proved, self._failures = False, self._failures + 1
                self.problem = f"conversation {number}: {error.message}"
                if self._failures >= _MAX_FAILED_PAGES:
                    raise
                continue
            self._failures = 0
            if row is not None:
                self.found.add(number)
                yield row

    async def _ask(self, number: int) -> Json | None:
        try:
            row = await self._client.get_conversation(number)
        except ChatwootRefused as error:
            if error.chatwoot_status not in _ABSENT:
                raise
        else:
            if self._inbox_id is None or row.get("inbox_id") == self._inbox_id:
                return row
        self._absent.add(number)
        return None


class RecentListing:
    """Conversations by their last activity, newest first, back to a moment."""

    def __init__(self, client: ChatwootClient, inbox_id: int | None, since_us: int) -> None:
        self._client = client
        self._inbox_id = inbox_id
        self._since_us = since_us
        self.problem: str | None = None

    async def rows(self) -> list[Json]:
        """Read again while the pages had ties at their edges and brought something new. Raises
        ChatwootError.
        """
        found: dict[int, Json] = {}
        for _ in range(_MAX_RECENT_PASSES):
            before = len(found)
            if not await self._pass(found) or len(found) == before:
                break
        return list(found.values())

    async def _pass(self, found: dict[int, Json]) -> bool:
        """Whether rows on both sides of a page's edge had the same time."""
        pages, has_ties, last_us = Pages(self._client, self._inbox_id, ACTIVITY), False, None
        async for rows in pages.rows():
            times = [parse_time(row.get("last_activity_at")) or 0 for row in rows]
            has_ties |= last_us is not None and max(times) >= last_us
            last_us = min(times)
            for row, at_us in zip(rows, times, strict=True):
                if isinstance(number := row.get("id"), int) and at_us >= self._since_us:
                    found.setdefault(number, row)
            if last_us < self._since_us:
                break
        self.problem = pages.problem
        return has_ties
