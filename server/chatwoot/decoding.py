"""Reading an answer within a bound. `httpx` decodes whatever `Content-Encoding` says, as often as
it says, before anybody can count: 478 bytes become 200 MB. So the bytes are counted as they come,
and one gzip, the only coding that is asked for, is decoded up to the bound.
"""

import zlib
from collections.abc import Iterator

import httpx

from server.chatwoot.answer_memory import HeldBytes
from server.core.chatwoot.json_bodies import has_too_many_values

ACCEPT_ENCODING = "gzip"
_GZIP_WBITS = 31
_SMALL_BYTES = 100_000
_PIECE_BYTES = 256 * 1024
# a page of Chatwoot's has some thousands; so many take a tenth of a second at most
_MAX_VALUES = 200_000


class AnswerTooLong(Exception):
    """More than the bound, before or after decoding."""


async def read_bounded(
    answer: httpx.Response, max_bytes: int, held: HeldBytes | None = None
) -> bytes:
    """The decoded body of a streamed answer; `held` grows with it.

    Raises AnswerTooLong, AnswerMemoryFull, httpx.DecodingError, and what httpx raises while it
    reads.
    """
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "x-gzip", ""):
        raise httpx.DecodingError("The answer has a coding that was not asked for")
    inflate = zlib.decompressobj(_GZIP_WBITS) if coding.endswith("gzip") else None
    pieces, size, received = list[bytes](), 0, 0
    async for chunk in answer.aiter_raw():
        received += len(chunk)
        for piece in (chunk,) if inflate is None else _inflated(inflate, chunk):
            size += len(piece)
            if received > max_bytes or size > max_bytes:
                raise AnswerTooLong
            if held is not None:
                await held.grow_for(size, max_bytes)
            pieces.append(piece)
        if inflate is not None and inflate.unused_data:
            raise httpx.DecodingError("There is more behind the gzip of the answer")
    if inflate is not None and received and not inflate.eof:
        raise httpx.DecodingError("The gzip of the answer ends early")
    whole = b"".join(pieces)
    if size > _SMALL_BYTES and has_too_many_values(whole, _MAX_VALUES):
        raise AnswerTooLong
    return whole


def _inflated(inflate: "zlib._Decompress", chunk: bytes) -> Iterator[bytes]:
    """What a chunk holds, piece by piece: it may be a thousand times as much. Raises
    httpx.DecodingError.
    """
    while True:
        try:
            piece = inflate.decompress(chunk, _PIECE_BYTES)
        except zlib.error:
            raise httpx.DecodingError("The answer is no gzip, though it says so") from None
        yield piece
        chunk = inflate.unconsumed_tail
        if not chunk and len(piece) < _PIECE_BYTES:
            return
