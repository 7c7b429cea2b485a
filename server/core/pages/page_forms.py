"""The form of each kind of message in its bubble: what stands above the text, the text, what stands
below it, and its files. static/js/later/forms.js makes the same nodes; a test compares the two.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.core.pages.page_attachments import attachment_nodes
from server.core.pages.page_links import mail_link, outside, safe_address
from server.core.pages.page_locale import Locale
from server.core.pages.page_nodes import Node, Nodes, element
from server.core.pages.page_text import mail_nodes, marked_nodes, plain_nodes
from server.core.state.message_kinds import is_stand_in

_FOLD_CHARACTERS, _FOLD_LINES = 2_000, 30
_SPARE_CHARACTERS = 400  # so few more are not worth a fold
_MARKED_CHARACTERS = 20_000  # a longer text is no markdown
_QUOTE_CHARACTERS = 200
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})?")
_NUMBER = re.compile(r"[0-9]+")  # of an account: a name to nobody
_Json = Mapping[str, Any]


@dataclass(frozen=True)
class MessageForm:
    """The nodes of a message, by their place in its bubble."""

    before: Nodes = field(default_factory=list)
    body: Nodes = field(default_factory=list)
    after: Nodes = field(default_factory=list)
    files: Nodes = field(default_factory=list)


def message_form(
    m: _Json, locale: Locale, quoted: _Json | None = None, channel: str | None = None
) -> MessageForm:
    """Return the form of a message. `quoted`: the message it answers, where the page has it.
    `channel`: the conversation's, as Chatwoot names it.
    """
    if m["deleted"]:
        return MessageForm(body=[_line(locale.t("message.deleted"), "hint")])
    form = MessageForm(
        before=_before(m, locale, quoted),
        body=_body(m, locale),
        after=_after(m, locale, channel),
        files=attachment_nodes(m, locale),
    )
    if form.before or form.body or form.after or form.files:
        return form
    return MessageForm(body=[_line(locale.line(m.get("kind"), m["content"]), "hint")])


def sender_of(m: _Json, locale: Locale, channel: str | None, customer: str | None = None) -> str:
    """Return who wrote a message: the name, and what wrote it where that was no person here.
    `customer`: their present name; None for a group. A conversation is one customer's (a merge of
    contacts renames all of it), so that older messages have it, too.
    """
    kind = m.get("senderKind") or m["senderType"]
    name = m.get("senderName")
    if kind == "customer" and customer:
        return customer
    if kind in ("customer", "agent"):
        return name or locale.t(f"message.{kind}")
    app = _app(channel, locale)
    if kind != "channelApp":
        what = locale.word("sender", kind)
    else:
        what = locale.t("sender.channelApp", app=app) if app else locale.t("sender.phone")
    return f"{name} · {what}" if name else what


def _app(channel: str | None, locale: Locale) -> str | None:
    return locale.catalogue.get(f"appName.{(channel or '').removeprefix('Channel::')}")


def _line(text: str, of: str) -> Node:
    return element("p", {"class": of}, text)


def _text(text: str) -> Node:
    return element("p", {"dir": "auto"}, text)


def _before(m: _Json, locale: Locale, quoted: _Json | None) -> Nodes:
    details = m.get("details") or {}
    nodes: Nodes = []
    if ad := details.get("ad"):
        nodes.append(_ad(ad, locale))
    if story := details.get("story"):
        nodes.append(_story(story, locale))
    if quote := details.get("quote"):
        nodes.append(_quote(quote, quoted, locale))
    if (email := details.get("email")) and (head := _mail_head(email, locale)) is not None:
        nodes.append(head)
    return nodes


def _ad(ad: _Json, locale: Locale) -> Node:
    address = safe_address(ad.get("url"))
    title = ad.get("headline") or address
    inner: Nodes = [_line(locale.t("bubble.ad"), "hint")]
    if title:
        shown = outside(address, title) if address else title
        inner.append(element("p", {"dir": "auto"}, element("strong", None, shown)))
    if ad.get("body"):
        inner.append(_text(ad["body"]))
    return element("div", {"class": "aside"}, *inner)


def _story(story: _Json, locale: Locale) -> Node:
    address = safe_address(story.get("url"))
    label = locale.t("bubble.story")
    inner: Nodes = [outside(address, label) if address else label]
    if (sender := story.get("sender")) and not _NUMBER.fullmatch(sender):
        inner.append(f" · {sender}")
    return element("p", {"class": "aside", "dir": "auto"}, *inner)


def _quote(quote: _Json, quoted: _Json | None, locale: Locale) -> Node:
    """A link where the message is there; else a button, as only a script can load it."""
    found = {"id": None, "senderName": None, **(quoted or {})}
    said = locale.line(quoted.get("kind"), quoted["content"]) if quoted else ""
    text = said or locale.t("bubble.quote")
    if quoted and quoted["deleted"]:
        text = locale.t("message.deleted")
    text = text if len(text) <= _QUOTE_CHARACTERS else text[:_QUOTE_CHARACTERS] + "…"
    name = found["senderName"]
    inner: Nodes = [element("strong", {"dir": "auto"}, name)] if name else []
    inner.append(element("span", {"dir": "auto"}, text))
    number = quote.get("chatwootMessageId")
    given = {"class": "quote", "data-quote": None if number is None else str(number)}
    if found["id"] is not None:
        return element("a", {**given, "href": f"#m{found['id']}"}, *inner)
    return element("button", {**given, "type": "button", "data-script": ""}, *inner)


def _mail_head(email: _Json, locale: Locale) -> Node | None:
    rows: Nodes = []
    if email.get("subject"):
        subject = element("strong", None, email["subject"])
        rows += _row(locale.t("bubble.subject"), [subject])
    lists = {"from": [email["from"]] if email.get("from") else []}
    lists |= {name: email.get(name) or [] for name in ("to", "cc", "bcc")}
    for name, addresses in lists.items():
        if addresses:
            inner: Nodes = []
            for address in addresses:
                inner += [", ", mail_link(address)] if inner else [mail_link(address)]
            rows += _row(locale.t(f"bubble.{name}"), inner)
    return element("dl", {"class": "aside"}, *rows) if rows else None


def _row(label: str, inner: Nodes) -> Nodes:
    return [element("dt", None, label), element("dd", {"dir": "auto"}, *inner)]


def _body(m: _Json, locale: Locale) -> Nodes:
    if m.get("isSummary") or not m["content"]:
        return []
    content = m["content"]
    files = m.get("attachments") or []
    if files and content == (files[0].get("contact") or {}).get("name"):
        return []  # the card says it
    if ours := locale.shared(m.get("kind"), content):
        return [_text(ours)]
    is_mail = m.get("kind") == "email"
    quoted = ((m.get("details") or {}).get("email") or {}).get("quoted")
    if is_stand_in(m.get("kind"), content):
        if files or m.get("kind") != "sticker":
            return []
        content = content[1:]  # a row of an earlier version: a link to the picture
    if not quoted or not content.endswith(quoted):
        return _folded(content, locale, is_mail)
    own = content.removesuffix(quoted).rstrip(" \n")
    inner = _folded(quoted, locale, is_mail)
    summary = element("summary", None, locale.t("bubble.quoted"))
    return [*_folded(own, locale, is_mail), element("details", None, summary, *inner)]


def _folded(text: str, locale: Locale, is_mail: bool) -> Nodes:
    """Return a text; what is beyond the first screen of a long one behind a button."""
    nodes_of = plain_nodes if len(text) > _MARKED_CHARACTERS else marked_nodes
    nodes_of = mail_nodes if is_mail else nodes_of
    lines = text.split("\n")
    head = "\n".join(lines[:_FOLD_LINES])[:_FOLD_CHARACTERS]
    if len(text) - len(head) <= _SPARE_CHARACTERS:
        return nodes_of(text)
    cut = head.rfind("\n")
    cut = cut if cut > len(head) // 2 else head.rfind(" ")
    head = head[:cut] if cut > len(head) // 2 else head
    summary = element("summary", None, locale.t("bubble.showAll"))
    rest = text[len(head) :].removeprefix("\n")
    return [*nodes_of(head), element("details", None, summary, *nodes_of(rest))]


def _after(m: _Json, locale: Locale, channel: str | None) -> Nodes:
    details = m.get("details") or {}
    nodes: Nodes = [
        *_choices(details, locale),
        *_filled(details.get("form") or [], locale),
        *(
            _card(card, locale)
            for name in ("cards", "articles")
            for card in details.get(name) or []
        ),
        *_of_kind(m, details, locale, channel),
    ]
    for one in details.get("translations") or []:
        lang = one["language"] if _LANGUAGE.fullmatch(one["language"]) else None
        name = locale.word("languageName", one["language"])
        nodes.append(_line(locale.t("bubble.translation", language=name), "hint"))
        nodes.append(element("div", {"lang": lang}, *plain_nodes(one["text"])))
    return nodes + _edited(m, details, locale)


def _edited(m: _Json, details: _Json, locale: Locale) -> Nodes:
    word, earlier = locale.t("message.edited"), details.get("previousContent")
    if earlier:
        inner = [element("summary", None, word), *plain_nodes(earlier)]
        return [element("details", {"class": "hint", "data-f": "edited"}, *inner)]
    return [element("p", {"class": "hint", "data-f": "edited"}, word)] if m.get("editedAt") else []


def _choices(details: _Json, locale: Locale) -> Nodes:
    """The answers to choose from; those that were chosen are marked, for the ear as well."""
    chosen = details.get("chosen") or []
    names = [one.get("value") or one["title"] for one in chosen]
    options = details.get("options") or []
    known = [one.get("value") or one["title"] for one in options]
    options = [
        *options,
        *(one for one, name in zip(chosen, names, strict=True) if name not in known),
    ]
    items: Nodes = []
    for one in options:
        is_chosen = (one.get("value") or one["title"]) in names
        mark = [element("span", {"class": "sr"}, f" ({locale.t('bubble.chosen')})")]
        given = {"data-chosen": "" if is_chosen else None, "dir": "auto"}
        items.append(element("li", given, one["title"], *(mark if is_chosen else [])))
    return [element("ul", {"class": "choices"}, *items)] if items else []


def _filled(fields: list[_Json], locale: Locale) -> Nodes:
    rows: Nodes = []
    for one in fields:
        value = one.get("value")
        inner = plain_nodes(value) if value else [locale.t("bubble.notFilled")]
        rows += [
            element("dt", {"dir": "auto"}, one["label"]),
            element("dd", {"dir": "auto"}, *inner),
        ]
    return [element("dl", {"class": "aside"}, *rows)] if rows else []


def _card(card: _Json, locale: Locale) -> Node:
    inner: Nodes = []
    if card["title"]:
        inner.append(element("p", {"dir": "auto"}, element("strong", None, card["title"])))
    if card.get("description"):
        inner.append(_text(card["description"]))
    if picture := safe_address(card.get("imageUrl")):
        inner.append(element("p", None, outside(picture, locale.t("file.image"), title=picture)))
    for action in card.get("actions") or []:
        address = safe_address(action.get("url"))
        shown = outside(address, action["text"], title=address) if address else action["text"]
        inner.append(element("p", {"dir": "auto"}, shown))
    return element("div", {"class": "aside"}, *inner)


def _of_kind(m: _Json, details: _Json, locale: Locale, channel: str | None) -> Nodes:
    kind = m.get("kind")
    if kind == "unsupported":
        app = _app(channel, locale) or locale.t("bubble.theirApp")
        return [_line(locale.t("bubble.unsupported", app=app), "hint")]
    if kind == "rating":
        return _rating(details.get("rating"), locale)
    if kind == "emailAsked":
        given = details.get("givenEmail")
        return (
            [_given(mail_link(given))] if given else [_line(locale.t("bubble.emailAsked"), "hint")]
        )
    if kind == "call":
        return [_line(_call(details.get("call") or {}, locale), "call")]
    if kind == "meeting":
        return [_line(locale.t("bubble.joinInChatwoot"), "hint")]
    if m.get("isSummary") and kind in ("poll", "unknown"):
        return [_line(locale.line(kind, m["content"]), "hint")]
    return []


def _given(link: Node) -> Node:
    return element("p", {"dir": "auto"}, link)


def _rating(rating: _Json | None, locale: Locale) -> Nodes:
    value = (rating or {}).get("value")
    if not rating or not value:
        nodes: Nodes = [_line(locale.t("bubble.ratingAsked"), "hint")]
    else:
        stars = element("span", {"class": "stars", "aria-hidden": "true"}, _stars(value))
        nodes = [element("p", None, stars, f" {locale.t('bubble.stars', n=value)}")]
    return [*nodes, *plain_nodes((rating or {}).get("feedback") or "")]


def _stars(value: int) -> str:
    return "★" * value + "☆" * (5 - value)


def _call(call: _Json, locale: Locale) -> str:
    direction = "outbound" if call.get("direction") == "outbound" else "inbound"
    parts = [locale.t(f"call.{direction}")]
    if call.get("outcome"):
        parts.append(locale.word("callOutcome", call["outcome"]))
    if call.get("seconds"):
        minutes, seconds = divmod(call["seconds"], 60)
        parts.append(locale.digits(f"{minutes}:{seconds:02}"))
    return " · ".join(parts)
