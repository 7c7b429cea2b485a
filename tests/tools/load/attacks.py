"""What a stranger may send to the server's port, each as fast as eight connections from eight
addresses can.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

from tests.kit.webhook import WEBHOOK_PATH

_TASKS = 8
_NOBODY = b'{"event": "message_created", "account": {"id": 987654321}, "s": "%s"}'
_HALVES = 300
# as `faults.webhook_flow` has it
_SOMEBODY = b'{"event": "message_created", "account": {"id": 3}, "inbox": {"id": 12}, "s": "%s"}'


def _post(body: bytes, headers: bytes = b"") -> bytes:
    return (
        b"POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n"
        % (WEBHOOK_PATH.encode(), headers, len(body))
        + body
    )


def _endless_head() -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 150_000_000


def _forged(size: int) -> bytes:
    """Of an account that is known here, at this moment, with a signature that nobody's secret
    makes.
    """
    headers = b"X-Chatwoot-Timestamp: %d\r\nX-Chatwoot-Signature: sha256=%s\r\n" % (
        time.time(),
        os.urandom(32).hex().encode(),
    )
    return _post(_SOMEBODY % (b"x" * size), headers)


def _unknown_cookie() -> bytes:
    return (
        b"GET /api/me HTTP/1.1\r\nHost: a\r\nCookie: omni_session=%s\r\n\r\n"
        % os.urandom(21).hex().encode()
    )


# what is made anew for each request
_FRESH: dict[str, Callable[[], bytes]] = {
    "unknown cookies": _unknown_cookie,
    "bad signatures": lambda: _forged(4_000),
    "large bad signatures": lambda: _forged(4_900_000),
}
_WHOLE: dict[str, Callable[[], bytes]] = {
    "large bodies": lambda: _post(_NOBODY % (b"x" * 4_900_000)),
    "unusual JSON": lambda: _post(
        b'{"event":"x","account":5,"s":"\\ud800","a":[' + b"[]," * 1_600_000 + b"1]}"
    ),
    "small webhooks": lambda: _post(_NOBODY % (b"x" * 4_000)),
    "long headers": lambda: _post(
        _NOBODY % b"", b"X-Chatwoot-Delivery: " + b"a" * 60_000 + b"\r\n"
    ),
    "endless head": _endless_head,
}
ATTACKS = (*_WHOLE, *_FRESH, "half requests")


async def attack(name: str, port: int, seconds: float) -> Counter[str]:
    """Until the time is over. Returns how often which status was answered."""
    until, answers = time.monotonic() + seconds, Counter[str]()
    if name == "half requests":
        await _hold(port, until, answers)
        return answers
    requests = _fresh(_FRESH[name]) if name in _FRESH else _same(_WHOLE[name]())
    async with asyncio.TaskGroup() as group:
        for number in range(_TASKS):
            group.create_task(_send(port, f"127.0.0.{number + 2}", requests, until, answers))
    return answers


def _fresh(make: Callable[[], bytes]) -> Iterator[bytes]:
    while True:
        yield make()


def _same(request: bytes) -> Iterator[bytes]:
    while True:
        yield request


async def _send(
    port: int, address: str, requests: Iterator[bytes], until: float, answers: Counter[str]
) -> None:
    while time.monotonic() < until:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(address, 0)
            )
            try:
                while time.monotonic() < until:
                    status = await _ask(reader, writer, next(requests), until)
                    answers[status] += 1
                    if status != "200":
                        break
            finally:
                writer.transport.abort()
            continue
        answers["cut"] += 1


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, until: float
) -> str:
    async with asyncio.timeout_at(
        asyncio.get_running_loop().time() + max(0.0, until - time.monotonic()) + 5
    ):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")),
            b":0",
        )
        await reader.readexactly(int(length.split(b":")[1]))
        return head.split(b" ", 2)[1].decode()


async def _hold(port: int, until: float, answers: Counter[str]) -> None:
    """Three hundred connections with half a request each; those that are ended are opened again."""
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    while time.monotonic() < until:
        for reader, writer in [one for one in held if one[0].at_eof()]:
            held.remove((reader, writer))
            writer.close()
            answers["ended"] += 1
        with contextlib.suppress(OSError):
            while len(held) < _HALVES:
                held.append(
                    await asyncio.open_connection(
                        "127.0.0.1", port, local_addr=(f"127.0.0.{len(held) % 8 + 2}", 0)
                    )
                )
                held[-1][1].write(b"POST /api/webhooks/chatwoot HTTP/1.1\r\nHost: a\r\n")
                answers["opened"] += 1
        await asyncio.sleep(0.2)  # a look five times a second is what the attack is
    for _, writer in held:
        writer.transport.abort()


if __name__ == "__main__":
    print(dict(asyncio.run(attack(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
