"""What a message has with it in Chatwoot's JSON (files, places, contact cards, outside links) ->
Attachment; the same of a webhook and of REST.

Chatwoot has a file of its own for some of them; of others (places, posts, news) only an outside
address, which is shown as a link and never fetched by us.
"""

import re
import unicodedata
from html import unescape
from urllib.parse import unquote

from msgspec.structs import replace

from server.core.bidi import without_turning
from server.core.chatwoot.payload_fields import (
    MAX_NAME_CHARACTERS,
    Json,
    as_dict,
    as_file_name,
    as_text,
    as_web_address,
)
from server.core.identifiers import parse_id
from server.core.state.entities import Attachment, ContactCard

MAIL = "incoming_email"  # content_type of a customer's mail
STORED_PATH = "/rails/active_storage/"  # of a file that Chatwoot has
_FILES = frozenset({"image", "audio", "video", "file"})
_FILELESS = frozenset({"location", "contact", "fallback", "embed"})
_MAX_ATTACHMENTS, _MAX_LINES = 50, 10
_MAX_LINE_CHARACTERS = 100
_MAX_ADDRESS_CHARACTERS = 500
_MAX_TRANSCRIPT_CHARACTERS = 10_000
# LINE's stickers have no file: the text is their picture
_STICKER = re.compile(r"!\[([^\]\n]{0,200})\]\((https?://[^\s()]{1,2000})\)")
_MIME = re.compile(r"[a-z]+/[a-z0-9.+-]+")
_MAX_MAIL_CHARACTERS = 1_000_000
_IMAGE = re.compile(r"<img\b[^<>]{0,4000}", re.IGNORECASE)
_SOURCE = re.compile(r"""\bsrc\s*=\s*["']?([^"'\s]+)""", re.IGNORECASE)
_JOINED = "\u200c\u200d"  # join or part letters of Bengali; no letters of their own
# what Rails makes a dash of in a stored name (ActiveStorage::Filename#sanitized)
_DASHED = re.compile('[\u202e%$|:;/<>?*"\t\r\n\\\\]')


def parse_attachments(message: Json) -> tuple[Attachment, ...]:
    """Parse what a message has with it, in the order of Chatwoot's ids."""
    is_sticker = message.get("content_type") == "sticker"
    value = message.get("attachments")
    items = value[:_MAX_ATTACHMENTS] if isinstance(value, list) else ()
    found = tuple(_attachment(item, is_sticker) for item in items if isinstance(item, dict))
    if not found and is_sticker:
        found = _sticker_in(message.get("content"))
    if message.get("content_type") == MAIL:
        found += _inline_pictures(as_dict(as_dict(message.get("content_attributes")).get("email")))
    return in_order(found)


def in_order(attachments: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
    """By Chatwoot's ids; those without one stay behind the others, in their order."""
    return tuple(sorted(attachments, key=lambda one: (one.id is None, one.id or 0)))


def in_present_form(attachments: tuple[Attachment, ...]) -> tuple[Attachment, ...]:
    """What rows of earlier versions hold, as it is read today: names percent-encoded, outside links
    as if they were files, Chatwoot's order of that moment.
    """
    return in_order(tuple(_present(one) for one in attachments))


def with_known(
    incoming: tuple[Attachment, ...], known: tuple[Attachment, ...]
) -> tuple[Attachment, ...]:
    """A width and a height that were known once stay: a webhook that is built early has none. So
    does the name of a file that was sent from here: Chatwoot's has dashes for some characters.
    """
    by_id = {one.id: one for one in known if one.id is not None}
    unsent = [one for one in known if one.id is None and one.url is None and one.name]
    return tuple(_with_known(one, by_id.get(one.id or -1), unsent) for one in incoming)


def stored_name(name: str) -> str:
    """Return a file's name as Chatwoot stores it."""
    return _DASHED.sub("-", name.strip())


def _with_known(one: Attachment, before: Attachment | None, unsent: list[Attachment]) -> Attachment:
    if before is None:
        named = (line for line in unsent if one.name and stored_name(line.name or "") == one.name)
        before = next(named, None)
    if before is None:
        return one
    is_renamed = one.name and before.name and stored_name(before.name) == one.name
    return replace(
        one,
        name=before.name if is_renamed else one.name,
        width=one.width or before.width,
        height=one.height or before.height,
    )


def _attachment(a: Json, is_sticker: bool) -> Attachment:
    kind = as_text(a.get("file_type"), 32) or "file"
    address = as_web_address(a.get("data_url"))
    title = as_file_name(a.get("fallback_title"))
    is_file = _is_file(kind, address, a.get("file_size"))
    latitude, longitude = _coordinates(a) if kind == "location" else (None, None)
    place, where = _place(title) if kind == "location" else (None, None)
    return Attachment(
        id=parse_id(a.get("id")),
        type=kind,
        url=address if is_file else None,
        thumb_url=as_web_address(a.get("thumb_url")) if is_file else None,
        name=title or (_name_in(address) if is_file else None),
        size_bytes=parse_id(a.get("file_size")),
        width=parse_id(a.get("width")),
        height=parse_id(a.get("height")),
        latitude=latitude,
        longitude=longitude,
        title=place if kind == "location" else None if is_file or kind == "contact" else title,
        address=where,
        contact=_card(a) if kind == "contact" else None,
        transcript=as_text(a.get("transcribed_text"), _MAX_TRANSCRIPT_CHARACTERS),
        link=None if is_file else address,
        is_sticker=is_sticker,
        mime_type=_mime_type(a.get("content_type")),
    )


def _mime_type(value: object) -> str | None:
    text = (as_text(value, _MAX_LINE_CHARACTERS) or "").lower()
    return text if _MIME.fullmatch(text) else None


def _is_file(kind: str, address: str | None, size: object) -> bool:
    """Whether a file is behind the address: a picture has one even where the address is the
    channel's own (Instagram).
    """
    if address is None or kind in _FILELESS:
        return False
    return kind in _FILES or STORED_PATH in address or parse_id(size) is not None


def _name_in(address: str | None) -> str | None:
    """Return the file's name as it was written: in an address it is percent-encoded."""
    if not address:
        return None
    name = unquote(_last_part(address), errors="replace").replace("/", "-")
    return as_file_name("".join(c for c in name if c in _JOINED or unicodedata.category(c) != "Cc"))


def _last_part(address: str) -> str:
    return address.split("?")[0].rsplit("/", 1)[-1]


def _coordinates(a: Json) -> tuple[float | None, float | None]:
    """Both, or none: of a place without any Chatwoot says 0 and 0."""
    latitude = _degrees(a.get("coordinates_lat"), 90)
    longitude = _degrees(a.get("coordinates_long"), 180)
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def _degrees(value: object, most: int) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and -most <= value <= most else None  # type: ignore[operator,arg-type]


def _place(title: str | None) -> tuple[str | None, str | None]:
    """Its name and its address, which Chatwoot joins with a comma."""
    name, _, where = (title or "").partition(",")
    return as_text(name.strip(), MAX_NAME_CHARACTERS), as_text(
        where.strip(), _MAX_ADDRESS_CHARACTERS
    )


def _card(a: Json) -> ContactCard:
    """A contact card: channels, and versions of Chatwoot, write its keys in two ways."""
    meta = as_dict(a.get("meta"))
    first, last = _either(meta, "firstName", "first_name"), _either(meta, "lastName", "last_name")
    name = _either(meta, "formattedName", "formatted_name") or " ".join(filter(None, (first, last)))
    number = as_text(a.get("fallback_title"), _MAX_LINE_CHARACTERS)
    # a card without a number says so in words
    own = [number] if number and len(re.findall(r"\d", number)) > 2 else []
    return ContactCard(
        name=without_turning(name).strip()[:MAX_NAME_CHARACTERS] or None,
        phones=_once([*own, *_lines(meta.get("phones"), "phone")]),
        emails=_once(_lines(meta.get("emails"), "email")),
    )


def _either(meta: Json, *keys: str) -> str | None:
    return next(
        (text for key in keys if (text := as_text(meta.get(key), MAX_NAME_CHARACTERS))), None
    )


def _lines(value: object, key: str) -> list[str]:
    items = value[:_MAX_LINES] if isinstance(value, list) else ()
    texts = (
        as_text(item.get(key) if isinstance(item, dict) else item, _MAX_LINE_CHARACTERS)
        for item in items
    )
    return [text for text in texts if text]


def _once(lines: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(without_turning(line).strip() for line in lines))[:_MAX_LINES]


def _sticker_in(content: object) -> tuple[Attachment, ...]:
    found = _STICKER.fullmatch(content.strip()) if isinstance(content, str) else None
    if found is None:
        return ()
    name, address = as_file_name(found[1]), as_web_address(found[2])
    return (Attachment(None, "image", url=address, name=name, is_sticker=True),)


def _inline_pictures(mail: Json) -> tuple[Attachment, ...]:
    """The pictures in a mail's text: Chatwoot keeps them, and writes their addresses into the
    mail's HTML (app/mailboxes/mailbox_helper.rb). Pictures from elsewhere are not fetched: the
    sender would learn that the mail was read. Who writes such an address themselves is not asked
    for it either (`Files.open`).
    """
    found: dict[str, str] = {}
    for part in ("html_content", "text_content"):
        source = as_dict(mail.get(part)).get("full")
        for tag in _IMAGE.findall(source[:_MAX_MAIL_CHARACTERS]) if isinstance(source, str) else ():
            address = _SOURCE.search(tag)
            url = as_web_address(unescape(address[1])) if address else None
            if url and STORED_PATH in url and len(found) < _MAX_ATTACHMENTS:
                found[url] = _name_in(url) or ""
    return tuple(
        Attachment(None, "image", url=url, name=name or None) for url, name in found.items()
    )


def _present(one: Attachment) -> Attachment:
    name, url = one.name, one.url
    if url and not _is_file(one.type, url, one.size_bytes):
        one = replace(one, url=None, thumb_url=None, link=one.link or url, title=one.title or name)
    elif name and url and "%" in name and name == _last_part(url)[:MAX_NAME_CHARACTERS]:
        one = replace(one, name=_name_in(url))
    if one.name and not one.name.isascii():
        one = replace(one, name=without_turning(one.name))
    return one
