"""HTML that Chatwoot has made of a text, and the HTML of a mail that has no other text -> the text.

Chatwoot 4.4 to 4.12 sent by webhook what CommonMark renders of a message, and the source by REST
(app/models/message.rb, `outgoing_content`).
"""

import html
import re
from collections.abc import Iterator

# what CommonMark renders begins with a block and ends with one and a line break; nobody types that
_RENDERED = re.compile(
    r"<(?:p|ul|ol|pre|blockquote|h[1-6])[ >].*</(?:p|ul|ol|pre|blockquote|h[1-6])>\n", re.DOTALL
)
# what was taken is not given back: a name without an end would be tried at each of its letters
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*+|![A-Za-z]++)([^<>]{0,4000}+)>")
_HREF = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_TAGS = re.compile(r"<[/!]?([A-Za-z][A-Za-z0-9]*)")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_MARKS = ("br", "strong", "em", "del", "code", "a", "img", "hr", "li")
_BLOCKS = frozenset(("p", "div", "pre", "ul", "ol", "blockquote", "table", *_HEADINGS))
_OF_COMMONMARK = _BLOCKS - {"div", "table"} | frozenset(_MARKS)
_UNSEEN = frozenset({"head", "script", "style", "title"})
_SIGNS = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "code": "`"}
_CELLS = ("td", "th")
_SPACES = re.compile(r"\s+")
_MAX_CHARACTERS, _MAX_DEPTH = 200_000, 8  # lists and quotes in each other
_GAP = re.compile(r"\n{3,}")


def source_of(content: object) -> object:
    """Return the markdown of which a text is the rendered form; anything else as it is."""
    if not isinstance(content, str) or not content.startswith("<"):
        return content
    if _RENDERED.fullmatch(content) is None:
        return content
    if any(tag.lower() not in _OF_COMMONMARK for tag in _TAGS.findall(content)):
        return content
    return text_of_html(content, is_marked=True)


def text_of_html(source: str, *, is_marked: bool = False) -> str:
    """Return the text of some HTML. `is_marked`: with the signs of markdown."""
    reader = _Reader(is_marked)
    for sign, tag, rest in _pieces(source[:_MAX_CHARACTERS]):
        if not tag:
            reader.take_text(html.unescape(rest))
        elif sign:
            reader.end(tag)
        else:
            reader.begin(tag, rest)
    return reader.text()


def _pieces(source: str) -> Iterator[tuple[str, str, str]]:
    """("/" or "", tag in small letters, its attributes) or ("", "", text). In one pass: the parser
    of the standard library takes minutes for hostile HTML.
    """
    at = 0
    while at < len(source):
        if source.startswith("<!--", at):
            end = source.find("-->", at)
            at = len(source) if end < 0 else end + 3
        elif source[at] == "<" and (found := _TAG.match(source, at)):
            yield found[1], found[2].lower(), found[3]
            at = found.end()
        else:
            end = source.find("<", at + 1)
            end = len(source) if end < 0 else end
            yield "", "", source[at:end]
            at = end


class _Reader:
    def __init__(self, is_marked: bool) -> None:
        self._signs = _SIGNS if is_marked else {}
        self._parts: list[str] = []
        self._links: list[tuple[int, str]] = []  # where the open one begins, and its address
        self._lists: list[int | None] = []  # the number of the next item; None: no numbers
        self._quotes: list[int] = []  # where each begins
        self._unseen = self._pre = 0

    def begin(self, tag: str, attributes: str) -> None:
        """Begin an element."""
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "br":
            self._parts.append("\n")
        elif tag == "a":
            self._links[:] = [(len(self._parts), _address(attributes))]
        elif tag == "li":
            self._begin_item()
        elif tag in _BLOCKS:
            self._begin_block(tag)
        elif tag in self._signs and not self._pre:
            self._parts.append(self._signs[tag])

    def end(self, tag: str) -> None:
        """End an element."""
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "a" and self._links:
            self._end_link()
        elif tag in _BLOCKS:
            self._end_block(tag)
        elif tag == "tr":
            self._parts.append("\n")
        elif tag in _CELLS:
            self._parts.append("\t")
        elif tag in self._signs and not self._pre:
            self._parts.append(self._signs[tag])

    def take_text(self, data: str) -> None:
        """Take a text; outside `pre` its white space is that of a line."""
        if self._unseen:
            return
        if not self._pre:
            data = _SPACES.sub(" ", data)
            is_at_start = not self._parts or self._parts[-1].endswith((" ", "\n", "\t"))
            data = data.lstrip() if is_at_start else data
        if data:
            self._parts.append(data)

    def text(self) -> str:
        """Return what was read, without white space around it."""
        lines = [line.rstrip() for line in "".join(self._parts).split("\n")]
        return _GAP.sub("\n\n", "\n".join(lines)).strip()

    def _begin_item(self) -> None:
        number = self._lists[-1] if self._lists else None
        if self._lists and number is not None:
            self._lists[-1] = number + 1
        indent = "  " * min(len(self._lists) - 1, _MAX_DEPTH)
        self._parts.append(f"\n{indent}" + ("- " if number is None else f"{number}. "))

    def _begin_block(self, tag: str) -> None:
        if tag == "p" and self._parts and self._parts[-1].endswith((". ", "- ")):
            return  # of a list whose items are apart
        is_inner = tag in ("ul", "ol") and bool(self._lists)
        self._parts.append("" if is_inner else "\n\n")
        if tag in ("ul", "ol"):
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "pre":
            self._pre += 1
            self._parts.append("```\n" if self._signs else "")
        elif tag == "blockquote" and len(self._quotes) < _MAX_DEPTH:
            self._quotes.append(len(self._parts))
        elif tag in _HEADINGS and self._signs:
            self._parts.append("#" * int(tag[1]) + " ")

    def _end_block(self, tag: str) -> None:
        if tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "pre" and self._pre:
            self._pre -= 1
            self._parts.append("```" if self._signs else "")
        elif tag == "blockquote" and self._quotes:
            at = self._quotes.pop()
            quoted = "".join(self._parts[at:]).strip()
            self._parts[at:] = ["\n".join(f"> {line}".rstrip() for line in quoted.split("\n"))]
        self._parts.append("\n\n" if not (tag in ("ul", "ol") and self._lists) else "")

    def _end_link(self) -> None:
        at, address = self._links.pop()
        shown = "".join(self._parts[at:]).strip()
        if address.startswith(("http://", "https://", "mailto:")) and shown and shown != address:
            self._parts[at:] = [f"[{shown}]({address})"]


def _address(attributes: str) -> str:
    found = _HREF.search(attributes)
    return html.unescape(next(filter(None, found.groups()), "")) if found else ""
