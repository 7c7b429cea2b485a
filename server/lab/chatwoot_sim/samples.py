"""Files the simulated Chatwoot has at hand, made by code: a small picture, a tone, and others by
their names; and what stands in for a file.
"""

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
        # a face of 96 x 96
        b"\x52\x49\x46\x46\x3c\x00\x00\x00\x57\x45\x42\x50\x56\x50\x38\x4c\x30\x00"
        b"\x00\x00\x2f\x5f\xc0\x17\x10\x06\x45\x8d\xa4\x30\x76\xd0\x8e\xd0\xce\xab"
        b"\x93\xf3\xc0\x5f\x01\xa5\xff\x13\xf0\x65\x10\x0f\x77\x07\x00\x50\x45\x9e"
        b"\xda\x76\xf9\xee\xb1\x00\xbb\x65\xc3\xf7\x3c\x93\xf7\x01",
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
