"""What all Chatwoots' answers together may take: counted in bytes, fair by company, given back, and
refused in words.
"""

import asyncio
import gc
import json
import tracemalloc

import httpx
import pytest

from server.chatwoot import (
    AnswerMemory,
    ChatwootClient,
    ChatwootError,
    ReadRetries,
)
from server.chatwoot.answer_memory import UNCOUNTED_BYTES, AnswerMemoryFull, decoded_bytes
from tests.kit.eventually import eventually
from tests.kit.large_answers import large_answers

MB = 1024 * 1024
BODY = 4 * MB
BUDGET = 16 * MB
# one answer at a time is decoded: its body twice, what is counted in it, its text, and what that is
# made of
DECODING = 8 * BODY
# buffers of the socket, of HTTP and of the server, and what is not counted
CONNECTION = MB + MB // 2


def _client(
    url: str, http: httpx.AsyncClient, memory: AnswerMemory, company: int
) -> ChatwootClient:
    return ChatwootClient(
        base_url=url,
        account_id=1,
        access_token="t",
        http=http,
        memory=memory,
        company_id=company,
        retries=ReadRetries(attempts=1),
    )


async def test_huge_answers_to_many_companies_have_a_bound_in_bytes() -> None:
    """Forty companies read 4 MB each: never more is held than is allowed. Some get theirs, others
    are told why not.
    """
    memory, words = AnswerMemory(BUDGET, max_wait_seconds=30), set[str]()

    async def read(url: str, http: httpx.AsyncClient, company: int) -> int:
        try:
            inboxes = await _client(url, http, memory, company).list_inboxes()
        except ChatwootError as error:
            words.add(error.message)
            return 0
        await asyncio.sleep(0)  # as whoever writes them to the database does
        return len(inboxes[0]["name"])

    limits = httpx.Limits(max_connections=50)
    async with (
        large_answers(BODY) as url,
        httpx.AsyncClient(trust_env=False, limits=limits) as http,
    ):
        tracemalloc.start()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(read(url, http, company)) for company in range(40)]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    whole = sum(task.result() == BODY for task in tasks)
    assert peak < BUDGET + DECODING + 40 * CONNECTION < 40 * BODY, f"{peak / MB:.0f} MB"
    assert whole >= 1
    assert all("memory that is set aside for large answers" in sentence for sentence in words)
    assert (memory.held_bytes, memory.waiting) == (0, 0)


async def test_an_answer_is_counted_as_long_as_it_lives() -> None:
    """Not only while it is read: whoever works on it for minutes holds it that long."""
    memory = AnswerMemory(BUDGET)
    async with large_answers(BODY) as url, httpx.AsyncClient(trust_env=False) as http:
        client = _client(url, http, memory, 1)
        for read in (client.list_inboxes, client.profile):
            answer = await read()
            assert BODY <= memory.held_bytes <= 2 * BODY
            del answer
            gc.collect()
            assert memory.held_bytes == 0


async def test_a_small_answer_is_not_counted() -> None:
    """Nearly all are: no other company's can hold them up."""
    memory = AnswerMemory(BUDGET)
    await memory.reserve(1, memory.company_bytes)
    await memory.reserve(2, memory.company_bytes)
    async with (
        large_answers(UNCOUNTED_BYTES // 2) as url,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        assert await _client(url, http, memory, 3).profile()


async def test_a_failure_gives_its_bytes_back() -> None:
    """Whatever ends the reading: a body that is no JSON, or a reader who is cancelled while it
    waits.
    """
    memory = AnswerMemory(BUDGET)
    async with (
        large_answers(BODY, text=b'"' * 65_536) as url,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        with pytest.raises(ChatwootError):
            await _client(url, http, memory, 1).profile()
    assert memory.held_bytes == 0

    others = memory.hold(2)
    await others.grow_for(memory.company_bytes, memory.company_bytes)
    async with large_answers(BODY) as url, httpx.AsyncClient(trust_env=False) as http:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_client(url, http, memory, 2).profile())
            await eventually(lambda: memory.waiting == 1, 30)
            task.cancel()
        assert task.cancelled()
    assert (memory.held_bytes, memory.waiting) == (memory.company_bytes, 0)
    others.release()
    assert memory.held_bytes == 0


async def test_one_company_leaves_the_others_room() -> None:
    """It gets a half; those that hold least are first when something is given back."""
    memory = AnswerMemory(BUDGET)
    greedy, first = memory.hold(1), memory.hold(2)
    await greedy.settle_at(memory.company_bytes)
    await first.settle_at(memory.company_bytes - MB)
    order: list[int] = []

    async def want(company: int) -> None:
        held = memory.hold(company)
        await held.settle_at(3 * MB)
        order.append(company)
        held.release()

    async with asyncio.TaskGroup() as group:
        group.create_task(want(2))
        group.create_task(want(3))
        await eventually(lambda: memory.waiting == 2, 30)
        greedy.release()
        # company 2 has its half nearly full, and waits for its own
        await eventually(lambda: order == [3], 30)
        first.release()
    assert order == [3, 2]


async def test_when_all_readers_wait_the_largest_is_refused_at_once() -> None:
    """Nobody would give anything back otherwise, until the time is over. The others finish."""
    memory = AnswerMemory(8 * MB, max_wait_seconds=300)
    held = {company: memory.hold(company) for company in (1, 2, 3)}
    for company, size in ((1, 2), (2, 3), (3, 3)):
        await held[company].grow_for(size * MB, size * MB)
    await held[2].settle_at(3 * MB)  # read to its end, and worked on

    async def grow(company: int) -> bool:
        try:
            await held[company].grow_for(4 * MB, 4 * MB)
        except AnswerMemoryFull:
            return False
        finally:
            held[company].release()
        return True

    async with asyncio.TaskGroup() as group:
        first = group.create_task(grow(1))
        await eventually(lambda: memory.waiting == 1, 30)
        assert not first.done()  # the third still reads, and may end
        third = group.create_task(grow(3))
    assert (first.result(), third.result()) == (True, False)
    held[2].release()
    assert (memory.held_bytes, memory.waiting) == (0, 0)


async def test_more_than_a_company_may_have_is_refused_for_good() -> None:
    """Waiting would not help."""
    memory = AnswerMemory(BUDGET)
    with pytest.raises(AnswerMemoryFull) as refused:
        await memory.hold(1).settle_at(memory.company_bytes + 1)
    assert refused.value.is_final


@pytest.mark.parametrize(
    ("text", "size"),
    [("a" * 1000, 1000), ("é" * 1000, 1000), ("ক" * 1000, 2000), ("a" * 999 + "😀", 4000)],
)
def test_texts_are_counted_as_they_are_kept(text: str, size: int) -> None:
    """Python keeps each sign of a text as wide as its widest."""
    assert decoded_bytes(text.encode()) == size + decoded_bytes(b"")


@pytest.mark.parametrize(
    "piece",
    ["[],", "{},", '{"a":{}},', '{"a":[1,{"b":2}]},', '"a",', "7,", '{"id":1.5,"name":"x"},'],
)
def test_values_are_counted_as_they_are_kept(piece: str) -> None:
    """Four bytes of JSON may be a hundred of memory: no answer takes more than is counted for
    it.
    """
    body = b"[" + piece.encode() * 20_000 + b"1]"
    tracemalloc.start()
    try:
        kept = json.loads(body)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept
    assert taken < decoded_bytes(body)
