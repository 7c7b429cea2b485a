"""Reading an answer within a bound. `httpx` decodes whatever `Content-Encoding` says, as often as it says, before anybody can count: 478
bytes become 200 MB. So the bytes are counted as they come, and one gzip, the only coding that is asked for, is decoded up to the bound."""

import zlib

import httpx

ACCEPT_ENCODING = "gzip"
_GZIP_WBITS = 31
_SMALL_BYTES = 1_000_000
_MAX_VALUES = 500_000  # a page of Chatwoot's has some thousands


class AnswerTooLong(Exception):
    """More than the bound, before or after decoding."""



async def read_bounded(answer: httpx.Response, max_bytes: int) -> bytes:
    """The decoded body of a streamed answer. Raises AnswerTooLong, httpx.DecodingError, and what httpx raises while it reads."""
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "x-gzip", ""):
        raise httpx.DecodingError("The answer has a coding that was not asked for")
    inflate = zlib.decompressobj(_GZIP_WBITS) if coding.endswith("gzip") else None
    body = bytearray()
    received = 0
    async for chunk in answer.aiter_raw():
        received += len(chunk)
        if inflate is None:
            body += chunk
        else:
            try:
                body += inflate.decompress(chunk, max_bytes - len(body) + 1)
            except zlib.error:
                raise httpx.DecodingError("The answer is no gzip, though it says so") from None
        if received > max_bytes or len(body) > max_bytes:
            raise AnswerTooLong
        if inflate is not None and inflate.unused_data:
            raise httpx.DecodingError("There is more behind the gzip of the answer")
    if inflate is not None and received and not inflate.eof:
        raise httpx.DecodingError("The gzip of the answer ends early")
    whole = bytes(body)
    if len(whole) > _SMALL_BYTES and _has_too_many_values(whole):
        raise AnswerTooLong
    return whole


def _has_too_many_values(body: bytes) -> bool:
    """Whether JSON of this size would become so many objects that reading it takes seconds and gigabytes.

    Counts outside strings, as a text may be long and hold anything: without escapes each quote begins or ends one.
    """
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > _MAX_VALUES:
        return True
    outside = b"".join(plain.split(b'"')[::2])
    return outside.count(b"[") + outside.count(b"{") + outside.count(b",") > _MAX_VALUES
