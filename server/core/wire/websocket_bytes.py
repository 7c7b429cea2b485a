"""WebSocket frames from server to client (RFC 6455 section 5.2): unmasked, whole, text."""

import struct

_TEXT = 0x81  # FIN, opcode 1
_CLOSE = 0x88
_MAX_REASON_BYTES = 123


def text_frame(payload: bytes) -> bytes:
    """The payload (UTF-8) as one complete text frame."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Encode a close frame; the reason is cut at 123 bytes of UTF-8, never within a character."""
    # half a character would be answered with 1007
    cut = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
    body = struct.pack("!H", code) + cut.encode()
    return bytes((_CLOSE, len(body))) + body


def split_text_frames(frames: bytes) -> list[bytes]:
    """The payloads of frames made by `text_frame`, for a server that wants messages."""
    payloads, at = [], 0
    while at < len(frames):
        size, start = frames[at + 1], at + 2
        if size == 126:
            size, start = struct.unpack_from("!H", frames, at + 2)[0], at + 4
        elif size == 127:
            size, start = struct.unpack_from("!Q", frames, at + 2)[0], at + 10
        payloads.append(frames[start : start + size])
        at = start + size
    return payloads


def are_whole_frames(data: bytes) -> bool:
    """Whether what a client sent are complete, unfragmented frames and nothing more: then no parser
    need remember anything.
    """
    at, size = 0, len(data)
    while at + 2 <= size:
        # the begin of a fragmented message, or its rest
        if not data[at] & 0x80 or not data[at] & 0x0F:
            return False
        length, head = data[at + 1] & 0x7F, 2
        if length == 126 and at + 4 <= size:
            length, head = struct.unpack_from("!H", data, at + 2)[0], 4
        elif length >= 126:
            return False  # larger than anything a client says here, or cut in its head
        at += head + length + (4 if data[at + 1] & 0x80 else 0)
    return at == size
