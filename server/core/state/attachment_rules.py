"""How an attachment may be shown: what a browser would run is only ever a download. Pure."""

import mimetypes
import re
from urllib.parse import quote

from server.core.bidi import without_turning
from server.core.state.entities import Attachment

# pictures, sound and moving pictures that browsers decode and never run: SVG holds scripts, HTML is
# one
_SHOWN = frozenset(
    {
        *(f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "avif", "bmp")),
        *(
            f"audio/{kind}"
            for kind in (
                "mpeg",
                "mp3",
                "mp4",
                "aac",
                "ogg",
                "opus",
                "wav",
                "x-wav",
                "webm",
                "x-m4a",
                "flac",
                "amr",
            )
        ),
        *(f"video/{kind}" for kind in ("mp4", "webm", "ogg", "quicktime", "3gpp")),
    }
)
_TEXT = "text/plain"
# a browser's viewer runs it apart from every page; in a sandbox Chrome refuses to open it at all
_PDF = "application/pdf"
_PDF_POLICY = "script-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_UNKNOWN = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_DOWNLOAD = "application/octet-stream"
_RANGE = re.compile(r"bytes=\d{1,15}-\d{0,15}")
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, max-age=3600",
}


def part_of(attachment_id: int | None, index: int) -> str:
    """The last part of an attachment's address with us: by Chatwoot's id where it has one, which
    stays whatever the message gets besides.
    """
    return f"id-{attachment_id}" if attachment_id is not None else str(index)


def find_part(attachments: tuple[Attachment, ...], part: str) -> int | None:
    """The place of the attachment of that address: `id-3301`, or its index, as older ones have."""
    places = {str(index): index for index in range(len(attachments))}
    by_id = {f"id-{one.id}": index for index, one in enumerate(attachments) if one.id is not None}
    return (places | by_id).get(part)


def address_of(attachment: Attachment, *, is_thumb: bool) -> str | None:
    """Where Chatwoot has it; a picture without a small form is its own."""
    if not is_thumb:
        return attachment.url
    return attachment.thumb_url or (attachment.url if attachment.type == "image" else None)


def shown_as(content_type: str, name: str | None) -> dict[str, str]:
    """Headers for a file of that type: shown in its place, or downloaded under its name."""
    kind = content_type.partition(";")[0].strip().lower()
    name = without_turning(name) if name else name
    if kind in _UNKNOWN and name:  # a storage that does not know says so
        kind = mimetypes.guess_type(name, strict=False)[0] or kind
    is_shown = kind in _SHOWN or kind in (_PDF, _TEXT)
    # encoded, so that no name can end the header or begin another one
    named = f"; filename*=UTF-8''{quote(name, safe='')}" if name else ""
    disposition = ("inline" if is_shown else "attachment") + named
    shown = f"{_TEXT}; charset=utf-8" if kind == _TEXT else kind
    policy = {"Content-Security-Policy": _PDF_POLICY} if kind == _PDF else {}
    return {
        "Content-Type": shown if is_shown else _DOWNLOAD,
        "Content-Disposition": disposition,
        **(SECURITY_HEADERS | policy),
    }


def checked_range(text: str | None) -> str | None:
    """A player's wish for one part, in the form that is passed on; anything else gets the whole
    file, as RFC 9110 allows.
    """
    return text if text and _RANGE.fullmatch(text.strip()) else None
