"""Files the simulated Chatwoot has at hand: a small picture made by code, a text file, and uploads
of any kind.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

_KINDS: dict[str, Literal["image", "audio", "video"]] = {
    "image": "image",
    "audio": "audio",
    "video": "video",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to be attached to a message."""

    name: str
    content: bytes
    content_type: str
    width: int | None = None
    height: int | None = None

    @property
    def file_type(self) -> str:
        """Chatwoot's kind of attachment (app/models/attachment.rb)."""
        return _KINDS.get(self.content_type.partition("/")[0], "file")


def picture(name: str = "receipt.png", *, width: int = 96, height: int = 64) -> Upload:
    """A small PNG: a colour run with a lighter frame, `width` x `height` pixels."""
    rows = (
        b"\0" + b"".join(_pixel(x, y, width, height) for x in range(width)) for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)
    return Upload(name, content, "image/png", width, height)


def text_file(name: str = "order.txt", text: str = "Order 5512\n2 x Jamdani sari\n") -> Upload:
    """A small text file."""
    return Upload(name, text.encode(), "text/plain")


def _pixel(x: int, y: int, width: int, height: int) -> bytes:
    if min(x, y, width - 1 - x, height - 1 - y) < 3:
        return bytes((236, 240, 236))
    return bytes(
        (20 + 60 * y // height, 110 + 60 * x // width, 80 + 90 * (x + y) // (width + height))
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
