"""Parses pieces of a server's stream. Each different piece is parsed once: the server sends the
same bytes to everybody.
"""

import base64
import os
import struct
from collections.abc import Iterator

from server.lab.load.message_tag import last_tag

TEXT, CLOSE = 0x81, 0x88
_EVENT = b'{"type":"event","seq":'
_CREATED = b',"kind":"message.created"'
_COMPANY = b'"companyId":'
_CONVERSATION = b'"conversation":{"id":'
_HANDSHAKE = (
    "GET /ws HTTP/1.1",
    "Host: {}",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: {}",
)
_UPGRADE = "\r\n".join((*_HANDSHAKE, "", ""))


class Piece:
    """Events by number, other frames, and the beginning of a frame that is not whole yet."""

    __slots__ = (
        "companies",
        "conversations",
        "first",
        "gap",
        "is_mixed",
        "last",
        "others",
        "rest",
        "tags",
    )

    def __init__(self, data: bytes) -> None:
        self.first = self.last = 0
        self.gap: tuple[int, int] | None = None  # within the piece: (number before, number after)
        self.companies: set[int] = set()
        self.conversations: list[int] = []
        self.tags: list[tuple[int, int, float]] = []  # (seq, number, written at) of new messages
        self.others: list[tuple[int, bytes]] = []
        # something else stands behind an event: then the order of the frames matters
        self.is_mixed = False
        at = 0
        for head, start, at in frames_of(data):
            if data[head] == TEXT and data.startswith(_EVENT, start):
                self._parse_event(data[start:at])
            else:
                self.is_mixed |= self.first > 0
                self.others.append((data[head], data[start:at]))
        self.rest = data[at:] if at else data

    def _parse_event(self, event: bytes) -> None:
        comma = event.index(b",", len(_EVENT))
        seq = int(event[len(_EVENT) : comma])
        if self.first == 0:
            self.first = seq
        elif seq != self.last + 1 and self.gap is None:
            self.gap = (self.last, seq)
        self.last = seq
        at = event.index(_COMPANY) + len(_COMPANY)
        self.companies.add(int(event[at : event.index(b",", at)]))
        if event.startswith(_CREATED, comma):
            tag = last_tag(event)
            if tag is not None:
                self.tags.append((seq, *tag))
                at = event.index(_CONVERSATION) + len(_CONVERSATION)
                self.conversations.append(int(event[at : event.index(b",", at)]))


def frames_of(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(where it begins, where its payload begins, where it ends) of each whole frame."""
    at, end = 0, len(data)
    while at + 2 <= end:
        size, start = data[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
        elif size == 127:
            size, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
        if start + size > end:
            return
        yield at, start, start + size
        at = start + size


def upgrade_request(host: str) -> bytes:
    """The request that opens a WebSocket on `/ws`, with a key of its own."""
    return _UPGRADE.format(host, base64.b64encode(os.urandom(16)).decode()).encode()


def masked_text(payload: bytes) -> bytes:
    """A client's text frame. The mask is zero, which is allowed and leaves the payload as it is."""
    if len(payload) >= 65_536:
        raise ValueError("a client's message is short")
    head = (
        struct.pack("!BB", TEXT, 0x80 | len(payload))
        if len(payload) < 126
        else struct.pack("!BBH", TEXT, 0x80 | 126, len(payload))
    )
    return head + b"\0\0\0\0" + payload
