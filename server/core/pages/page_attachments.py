"""What a message has with it, as nodes: files through us, places, contact cards, outside links.
static/js/later/attachments.js makes the same.
"""

from collections.abc import Mapping
from typing import Any

from server.core.pages.page_links import mail_link, outside, phone_link, safe_address
from server.core.pages.page_locale import MEDIA, Locale
from server.core.pages.page_nodes import Node, Nodes, element
from server.core.pages.page_text import plain_nodes
from server.core.state.attachment_rules import part_of

_Json = Mapping[str, Any]
_MAP = "https://www.openstreetmap.org/?mlat={0}&mlon={1}#map=17/{0}/{1}"


def attachment_nodes(m: _Json, locale: Locale) -> Nodes:
    """Return an item for each attachment that can be shown. Files are fetched through us, as their
    addresses come from outside and expire; a place and an outside link lead there, and are not
    fetched.
    """
    nodes: Nodes = []
    for index, one in enumerate(m.get("attachments") or []):
        if one.get("url") and not safe_address(one["url"]):
            continue
        if one.get("link") and not safe_address(one["link"]):
            continue
        address = f"/api/attachments/{m['id']}/{part_of(one.get('id'), index)}"
        nodes.append(_item(one, address if one.get("url") else None, m, locale))
    return nodes


def _item(one: _Json, address: str | None, m: _Json, locale: Locale) -> Node:
    if one.get("latitude") is not None and one.get("longitude") is not None:
        return _place(one, locale)
    if one.get("contact"):
        return _card(one["contact"], locale)
    kind = _media_of(one, address)
    inner = [_file(one, kind, address, m, locale)]
    if address and one["type"] not in MEDIA and one["type"] != "file":
        inner.insert(0, element("p", {"class": "hint"}, locale.word("linkType", one["type"])))
    link = one.get("link")
    if link and address:
        inner.append(element("p", None, outside(link, locale.word("linkType", one["type"]))))
    if one.get("transcript"):
        hint = element("p", {"class": "hint"}, locale.t("bubble.transcript"))
        inner.append(element("div", {"class": "transcript"}, hint, *plain_nodes(one["transcript"])))
    of = "file" if kind == "file" else None if kind == "audio" else "image"
    sticker = "" if one.get("isSticker") or m.get("kind") == "sticker" else None
    return element("li", {"class": of, "data-sticker": sticker}, *inner)


def _media_of(one: _Json, address: str | None) -> str:
    """What shows it: by its type; a post or a story by what its file is, else by its picture."""
    if not address or one["type"] in (*MEDIA, "file"):
        return one["type"] if address else "file"
    of = (one.get("mimeType") or ("image/" if one.get("thumbUrl") else "")).partition("/")[0]
    return of if of in MEDIA else "file"


def _file(one: _Json, kind: str, address: str | None, m: _Json, locale: Locale) -> Node:
    sticker = one.get("isSticker") or m.get("kind") == "sticker"
    label = one.get("name") or locale.t("kind.sticker" if sticker else f"file.{kind}")
    if kind == "file":
        if (link := one.get("link")) and not address:
            shown = one.get("title") or one.get("name") or locale.word("linkType", one["type"])
            return outside(link, shown, title=link)
        given = {"href": address, "target": "_blank", "data-f": "file", "dir": "auto"}
        return element("a", given, label)
    size = {name: one.get(name) for name in ("width", "height")}
    sizes = {name: str(value) for name, value in size.items()} if all(size.values()) else {}
    if kind == "audio":
        given = {"data-f": "file", "controls": "", "preload": "none"}
        return element("audio", {**given, "aria-label": label, "src": address})
    if kind == "video":
        given = {"data-f": "file", "controls": "", "preload": "metadata"}
        return element("video", {**given, "aria-label": label, **sizes, "src": address})
    given = {"data-f": "file", "loading": "lazy", "decoding": "async"}
    source = f"{address}/thumb" if one.get("thumbUrl") else address
    image = element("img", {**given, "alt": label, **sizes, "src": source})
    return element("a", {"href": address, "target": "_blank"}, image)


def _place(one: _Json, locale: Locale) -> Node:
    """The name and the address of a place, and the map at its coordinates."""
    place = f"{one['latitude']:.6f}", f"{one['longitude']:.6f}"
    title = one.get("title") or one.get("name")
    inner: Nodes = []
    if title:
        inner.append(element("p", {"dir": "auto"}, element("strong", None, title)))
    if one.get("address") and one["address"] != title:
        inner.append(element("p", {"dir": "auto"}, one["address"]))
    address = _MAP.format(*place)
    label = locale.t("bubble.map", place=f"{place[0]}, {place[1]}")
    return element("li", {"class": "file"}, *inner, element("p", None, outside(address, label)))


def _card(contact: _Json, locale: Locale) -> Node:
    name = contact.get("name") or locale.t("kind.contact")
    inner: Nodes = [element("p", {"dir": "auto"}, element("strong", None, name))]
    inner += [element("p", None, phone_link(one)) for one in contact.get("phones") or []]
    inner += [element("p", None, mail_link(one)) for one in contact.get("emails") or []]
    return element("li", {"class": "file"}, *inner)
