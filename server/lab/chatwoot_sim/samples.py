"""Files the simulated Chatwoot has at hand, made by code: a small picture, a tone, and others by
their names; and what stands in for a file.
"""

import base64
import io
import math
import struct
import wave
import zlib
from dataclasses import dataclass, field
from typing import Any, Literal

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
    kind: str | None = None  # what Chatwoot calls it, where the content type does not say
    external_url: str | None = None  # where the provider keeps it

    @property
    def file_type(self) -> str:
        """Chatwoot's kind of attachment (app/models/attachment.rb)."""
        if self.kind or self.content_type == "image/heic":  # no browser shows it
            return self.kind or "file"
        return _KINDS.get(self.content_type.partition("/")[0], "file")


@dataclass(frozen=True, slots=True)
class Pointer:
    """An attachment without a file: a place, a contact's card, a link."""

    file_type: Literal["location", "contact", "fallback"]
    fallback_title: str | None = None
    external_url: str | None = None
    coordinates: tuple[float, float] | None = None  # latitude, longitude
    meta: dict[str, Any] = field(default_factory=dict)


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


def file_named(name: str, *, kind: str | None = None, url: str | None = None) -> Upload:
    """A made-up file whose content fits the ending of its name; `kind` and `url`: see `Upload`."""
    ending = name.rpartition(".")[2]
    content_type, content = _MADE[ending]
    if ending == "png":
        drawn = picture(name)
        return Upload(name, drawn.content, content_type, drawn.width, drawn.height, kind, url)
    made = _tone() if ending == "wav" else content
    return Upload(name, made, content_type, kind=kind, external_url=url)


def _tone(seconds: float = 0.5, rate: int = 8000) -> bytes:
    """A WAV file of one soft tone, 16 bits, one channel."""
    samples = (
        round(6000 * math.sin(n * 440 * 2 * math.pi / rate)) for n in range(int(seconds * rate))
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(b"".join(struct.pack("<h", one) for one in samples))
    return file.getvalue()


# content type and content by ending; of those that are made by code, the type alone
_MADE = {
    "png": ("image/png", b""),
    "wav": ("audio/x-wav", b""),
    "webp": (
        "image/webp",
        base64.b64decode(  # a face of 96 x 96
            "UklGRjwAAABXRUJQVlA4TDAAAAAvX8AXEAZFjaQwdtCO0M6rk/PAXwGl/xPwZRAPdwcAUEWe2nb57rEAu2XD"
            "9zyT9wE="
        ),
    ),
    "heic": ("image/heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
    "ogg": ("audio/ogg", b"OggS\0\2" + bytes(22)),
    "mp4": ("video/mp4", b"\0\0\0\x18ftypisom\0\0\2\0isommp41"),
    "pdf": ("application/pdf", b"%PDF-1.4\n%%EOF\n"),
    "txt": ("text/plain", b"Order 7731\n"),
}


def _pixel(x: int, y: int, width: int, height: int) -> bytes:
    if min(x, y, width - 1 - x, height - 1 - y) < 3:
        return bytes((236, 240, 236))
    return bytes(
        (20 + 60 * y // height, 110 + 60 * x // width, 80 + 90 * (x + y) // (width + height))
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
