"""What others answer is counted before it grows: one gzip, up to a bound; anything else is
refused.
"""

import gzip
import json
import tracemalloc
import zlib

import httpx
import pytest

from server.chatwoot import ChatwootClient, ChatwootError
from server.chatwoot.decoding import AnswerTooLong, read_bounded
from server.chatwoot.files import Files
from server.errors import AttachmentUnavailable
from tests.kit.rude_http import answering

BOUND = 100_000
ZEROS = b"\0" * 30_000_000
BOMBS = {
    "gzip": gzip.compress(ZEROS),
    "gzip, gzip": gzip.compress(gzip.compress(ZEROS)),
    "deflate": zlib.compress(ZEROS),
    "br": b"\x00" * 50,
    "zstd": b"\x28\xb5\x2f\xfd" + b"\x00" * 50,
    "identity, gzip": gzip.compress(ZEROS),
}


async def _read(url: str, max_bytes: int = BOUND) -> bytes:
    async with httpx.AsyncClient(trust_env=False) as http, http.stream("GET", url) as answer:
        return await read_bounded(answer, max_bytes)


@pytest.mark.parametrize("coding", BOMBS)
async def test_a_bomb_never_grows(coding: str) -> None:
    """Nothing near the size of what is inside is ever held."""
    async with answering(f"Content-Encoding: {coding}\r\n".encode(), BOMBS[coding]) as url:
        tracemalloc.start()
        try:
            with pytest.raises((AnswerTooLong, httpx.DecodingError)):
                await _read(url)
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, BOUND - 1, BOUND, BOUND + 1])
@pytest.mark.parametrize("is_gzip", [False, True])
async def test_the_bound_is_of_what_is_inside(size: int, is_gzip: bool) -> None:
    """To the byte, compressed or not."""
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    head = b"Content-Encoding: gzip\r\n" if is_gzip else b""
    async with answering(head, gzip.compress(content) if is_gzip else content) as url:
        if size > BOUND:
            with pytest.raises(AnswerTooLong):
                await _read(url)
        else:
            assert await _read(url) == content


BROKEN = {
    "no gzip": b"no gzip",
    "half of one": gzip.compress(b"x" * 1000)[:-9],
    "more behind it": gzip.compress(b"x") + b"more",
    "another behind it": gzip.compress(b"x") * 2,
}


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_gzip_is_an_error(case: str) -> None:
    """It is never taken for a whole answer."""
    async with answering(b"Content-Encoding: gzip\r\n", BROKEN[case]) as url:
        with pytest.raises(httpx.DecodingError):
            await _read(url)


async def test_the_client_of_chatwoot_reads_gzip_and_refuses_more() -> None:
    """`gzip` as nginx makes it; twice, it is no answer."""
    body = gzip.compress(b'{"id": 1, "name": "Nadia", "accounts": []}')
    async with httpx.AsyncClient(trust_env=False) as http:
        for coding, content in (("gzip", body), ("gzip, gzip", gzip.compress(body))):
            head = f"Content-Type: application/json\r\nContent-Encoding: {coding}\r\n".encode()
            async with answering(head, content) as url:
                client = ChatwootClient(base_url=url, account_id=1, access_token="t", http=http)
                if coding == "gzip":
                    assert (await client.profile())["name"] == "Nadia"
                else:
                    with pytest.raises(ChatwootError):
                        await client.profile()


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "br", "deflate"])
async def test_a_file_that_comes_encoded_is_refused(coding: str) -> None:
    """It was asked for as it lies there."""
    async with (
        answering(f"Content-Encoding: {coding}\r\n".encode(), b"x") as url,
        Files(allows_private=True, private_hosts=["127.0.0.1"], most_bytes=BOUND) as files,
    ):
        with pytest.raises(AttachmentUnavailable, match="compressed"):
            await files.open(url, url, None)


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        ("Content-Range: bytes 0-1/2", {"Content-Range": "bytes 0-1/2"}),
        ("Content-Range: bytes 0-1/*", {"Content-Range": "bytes 0-1/*"}),
        ("Content-Range: bytes 0-1/2\u20ac", {}),
        ("Content-Range: bytes 0-1/2, evil", {}),
        ("Accept-Ranges: bytes", {"Accept-Ranges": "bytes"}),
        ("Accept-Ranges: l\u00e9ons", {}),
    ],
)
async def test_only_well_formed_headers_are_passed_on(line: str, passed: dict[str, str]) -> None:
    """Whoever runs the storage writes them."""
    async with (
        answering(f"{line}\r\n".encode(), b"ab") as url,
        Files(allows_private=True, private_hosts=["127.0.0.1"], most_bytes=BOUND) as files,
    ):
        opened = await files.open(url, url, None)
        assert opened.headers == {**passed, "Content-Length": "2"}
        await opened.close()


@pytest.mark.parametrize("piece", [b"[],", b"{},", b"0,", b'"",'])
async def test_an_answer_of_millions_of_values_is_never_decoded(piece: bytes) -> None:
    """Small for its bytes, it would be gigabytes of objects, and the loop would stand still while
    they are made.
    """
    async with answering(b"", b"[" + piece * (6_000_000 // len(piece)) + b"1]") as url:
        with pytest.raises(AnswerTooLong):
            await _read(url, 10_000_000)


async def test_a_text_may_hold_anything() -> None:
    """However many signs of JSON a customer writes: they are within strings."""
    body = json.dumps({"payload": [{"content": '[{,"\\' * 100_000} for _ in range(5)]}).encode()
    async with answering(b"", body) as url:
        assert await _read(url, 10_000_000) == body
