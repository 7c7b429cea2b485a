"""Files agents attach to a reply: which are accepted, and under which name.

The same kinds that Chatwoot takes (app/models/attachment.rb), and nothing a customer's machine
would run.
"""

import mimetypes
import unicodedata

import msgspec

from server.core.state.entities import Attachment
from server.errors import Unprocessable, UnsupportedMedia

MAX_FILES = 15  # Chatwoot's own limit (message.rb)
_MAX_NAME_CHARACTERS = 200
_MAX_KIND_CHARACTERS = 128  # what its column holds; the longest registered one has 80
_UNKNOWN = ("", "application/octet-stream")
_REFUSED = ("image/svg+xml",)
_FAMILIES = ("image/", "audio/", "video/")
_DOCUMENTS = frozenset(
    {
        "text/plain",
        "text/csv",
        "text/rtf",
        "application/rtf",
        "application/json",
        "application/pdf",
        "application/zip",
        "application/x-zip-compressed",
        "application/x-7z-compressed",
        "application/vnd.rar",
        "application/x-rar-compressed",
        "application/x-tar",
        "application/gzip",
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
    }
)
_DOCUMENT_FAMILIES = (
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
)


class FileLine(msgspec.Struct, frozen=True):
    """What is known of a file without its content; `digest` is the SHA-256 of it, in hex."""

    name: str
    content_type: str
    size_bytes: int
    digest: str = ""

    @property
    def attachment(self) -> Attachment:
        """As the message shows it until Chatwoot has the file: without an address of its own."""
        family = self.content_type.partition("/")[0]
        return Attachment(
            None,
            family if f"{family}/" in _FAMILIES else "file",
            name=self.name,
            size_bytes=self.size_bytes,
        )


def checked_file(name: str | None, content_type: str | None, size_bytes: int) -> FileLine:
    """Raises UnsupportedMedia or Unprocessable with a sentence."""
    shown = _bare_name(name or "")
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in _UNKNOWN:
        kind = mimetypes.guess_type(shown)[0] or ""
    if not _may_be_sent(kind):
        raise UnsupportedMedia(
            f"{shown} cannot be sent: only pictures, sound, video, documents and archives can"
        )
    if size_bytes == 0:
        raise Unprocessable(f"{shown} is empty")
    return FileLine(shown, kind, size_bytes)


def _may_be_sent(kind: str) -> bool:
    if (
        kind in _REFUSED
        or len(kind) > _MAX_KIND_CHARACTERS
        or any(letter in kind for letter in " ,;\"'\r\n")
    ):
        return False
    return kind.startswith((*_FAMILIES, *_DOCUMENT_FAMILIES)) or kind in _DOCUMENTS


def _bare_name(name: str) -> str:
    """Return the name without folders and without letters that cannot be seen; its end, where the
    kind is, is kept.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    seen = "".join(
        letter
        for letter in unicodedata.normalize("NFC", last)
        if unicodedata.category(letter)[0] != "C"
    ).strip(" .")
    return seen[-_MAX_NAME_CHARACTERS:] or "file"
