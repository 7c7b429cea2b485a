"""The text of a message as nodes: Chatwoot's markdown, and what can be pressed in it.

A subset that keeps a customer's text as it was written wherever it is no markdown: bold, italic,
struck, code, lists, quotes, headings, links and mentions. static/js/later/text.js does the same.
"""

import re
import unicodedata
from collections.abc import Callable

from server.core.pages.page_links import LINKS, SPACE, found_link, target_link
from server.core.pages.page_nodes import Node, Nodes, element

_MAX_BLOCKS, _MAX_MARKS = 4, 6  # one in another
_MARKS = {"**": "strong", "__": "strong", "*": "em", "_": "em", "~~": "del"}
_PLAIN = re.compile(LINKS)
_MARKED = re.compile(
    rf"{LINKS}|(?P<escape>\\[!-/:-@\[-`{{-~])|(?P<code>`+)|(?P<mark>\*\*\*|\*\*|\*|__|_|~~)"
    r"|(?P<label>!?\[)"
)
# a bracket that is escaped begins no label: each would be looked at again from every one before it
_MAILED = re.compile(rf"{LINKS}|(?P<escape>\\[\[\\])|(?P<label>!?\[)")
_LABELLED = re.compile(
    r"!?\[((?:[^\[\]\\]|\\[^\n]){0,500})\]"
    r"\(((?:[^\u0000-\u0020<>()]|\([^\u0000-\u0020<>()]{0,500}\)){1,2000})"
    r'(?: "[^"\n]{0,500}")?\)'
)
_FENCE = re.compile(r" {0,3}```[^`\n]*")
_ITEM = re.compile(r"( {0,3}(?:[-*]|([0-9]{1,9})[.)]) {1,4})([^ \n][^\n]*)")
_HEADING = re.compile(r"#{1,6} +([^\n]+)")
_QUOTED = re.compile(r" {0,3}> ?")


def plain_nodes(text: str) -> Nodes:
    """Return a text as it was written, with its links."""
    return [_paragraph(_linked(text))] if text else []


def mail_nodes(text: str) -> Nodes:
    """Return a mail as it was written, with its links: Chatwoot writes those of a mail in HTML as
    markdown (lib/html_parser.rb), and the rest as plain text.
    """

    def node_of(found: re.Match[str]) -> tuple[Node | None, int]:
        if found.lastgroup == "label":
            return _label(text, found.start(), found[0])
        if found.lastgroup == "escape":
            return None, len(found[0])
        return found_link(found.lastgroup or "", found[0])

    return [_paragraph(_scan(text, _MAILED, node_of))] if text else []


def marked_nodes(text: str, depth: int = 0) -> Nodes:
    """Return a text with its markdown and its links."""
    lines = text.replace("\r\n", "\n").split("\n")
    return _Blocks(lines, depth).parse()


def _paragraph(children: Nodes) -> Node:
    return element("p", {"dir": "auto"}, *children)


class _Blocks:
    """Paragraphs, lists, quotes and code of some lines."""

    def __init__(self, lines: list[str], depth: int) -> None:
        self._lines = lines
        self._depth = depth
        self._at = 0
        self._has_fence = True  # one that ends

    def parse(self) -> Nodes:
        """Return the blocks in their order."""
        nodes: Nodes = []
        while self._at < len(self._lines):
            if not self._lines[self._at].strip(" \t"):
                self._at += 1
                continue
            nodes.append(self._fenced() or self._quote() or self._list() or self._text())
        return nodes

    def _fenced(self) -> Node | None:
        if not self._has_fence or not _FENCE.fullmatch(self._lines[self._at]):
            return None
        for end in range(self._at + 1, len(self._lines)):
            if self._lines[end].strip(" ") == "```":
                code = "\n".join(self._lines[self._at + 1 : end])
                self._at = end + 1
                return element("pre", {"dir": "auto"}, element("code", None, code))
        self._has_fence = False
        return None

    def _quote(self) -> Node | None:
        if self._depth >= _MAX_BLOCKS or not _QUOTED.match(self._lines[self._at]):
            return None
        inner = []
        while self._at < len(self._lines) and (found := _QUOTED.match(self._lines[self._at])):
            inner.append(self._lines[self._at][found.end() :])
            self._at += 1
        return element("blockquote", None, *_Blocks(inner, self._depth + 1).parse())

    def _list(self) -> Node | None:
        first = _ITEM.fullmatch(self._lines[self._at])
        if first is None or self._depth >= _MAX_BLOCKS:
            return None
        is_ordered, items = first[2] is not None, []
        while (found := self._item(is_ordered)) is not None:
            items.append(found)
        if not is_ordered:
            return element("ul", None, *items)
        start = first[2].lstrip("0") or "0"
        return element("ol", {"start": start if start != "1" else None}, *items)

    def _item(self, is_ordered: bool) -> Node | None:
        """Return the next item of the list, with the lines that are indented below it."""
        found = self._at < len(self._lines) and _ITEM.fullmatch(self._lines[self._at])
        if not found or (found[2] is not None) != is_ordered:
            return None
        inner = [found[3]]
        self._at += 1
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.startswith("  ") or not line.strip(" \t"):
                break
            inner.append(line.removeprefix("  ").removeprefix(" ").removeprefix(" "))
            self._at += 1
        nodes = _Blocks(inner, self._depth + 1).parse()
        if len(nodes) == 1 and nodes[0][0] == "p":
            nodes = nodes[0][2]
        return element("li", {"dir": "auto"}, *nodes)

    def _text(self) -> Node:
        if found := _HEADING.fullmatch(self._lines[self._at]):
            self._at += 1
            return _paragraph([element("strong", None, *_inline(found[1], 0))])
        inner = [self._lines[self._at]]
        self._at += 1
        while self._at < len(self._lines) and self._goes_on(self._lines[self._at]):
            inner.append(self._lines[self._at])
            self._at += 1
        # a backslash at its end breaks a line, as the line's end does
        lines = [line.removesuffix("\\") for line in inner]
        return _paragraph(_inline("\n".join(lines), 0))

    def _goes_on(self, line: str) -> bool:
        if not line.strip(" \t") or _HEADING.fullmatch(line):
            return False
        if self._has_fence and _FENCE.fullmatch(line):
            return False
        if self._depth >= _MAX_BLOCKS:
            return True
        item = _ITEM.fullmatch(line)
        return not _QUOTED.match(line) and (item is None or item[2] not in (None, "1"))


def _linked(text: str) -> Nodes:
    return _scan(text, _PLAIN, lambda found: found_link(found.lastgroup or "", found[0]))


def _inline(text: str, depth: int) -> Nodes:
    return _Inline(text, depth).nodes() if depth < _MAX_MARKS else _linked(text)


def _scan(
    text: str, shapes: re.Pattern[str], node_of: Callable[[re.Match[str]], tuple[Node | None, int]]
) -> Nodes:
    """Return the text with what was found in it in its place. `node_of` returns a node, or None for
    plain text, and how many characters it takes.
    """
    nodes: Nodes = []
    at = kept = 0
    while (found := shapes.search(text, at)) is not None:
        node, taken = node_of(found)
        at = found.start() + taken
        if node is None or (isinstance(node, str) and node == text[found.start() : at]):
            continue
        _add(nodes, text[kept : found.start()])
        _add(nodes, node)
        kept = at
    _add(nodes, text[kept:])
    return nodes


def _add(nodes: Nodes, node: Node) -> None:
    if isinstance(node, str) and nodes and isinstance(nodes[-1], str):
        nodes[-1] += node
    elif node != "":
        nodes.append(node)


class _Inline:
    """Marks, code and links in the text of one paragraph. What is searched for once in vain is not
    searched for again.
    """

    def __init__(self, text: str, depth: int) -> None:
        self._text = text
        self._depth = depth
        self._missing: set[str] = set()

    def nodes(self) -> Nodes:
        """Return the text's nodes."""
        return _scan(self._text, _MARKED, self._node)

    def _node(self, found: re.Match[str]) -> tuple[Node | None, int]:
        kind, sign = found.lastgroup or "", found[0]
        if kind == "escape":
            return sign[1], 2
        if kind == "code":
            return self._code(found.start(), sign)
        if kind == "mark":
            return self._mark(found.start(), sign)
        if kind == "label":
            return _label(self._text, found.start(), sign)
        return found_link(kind, sign)

    def _code(self, start: int, sign: str) -> tuple[Node | None, int]:
        begin = start + len(sign)
        end = self._text.find(sign, begin) if sign not in self._missing else -1
        if end < 0:
            self._missing.add(sign)
        if end <= begin or self._text[end + len(sign) :].startswith("`"):
            return None, len(sign)
        return element("code", None, self._text[begin:end]), end + len(sign) - start

    def _mark(self, start: int, sign: str) -> tuple[Node | None, int]:
        begin = start + len(sign)
        if not self._can_open(start, begin) or (end := self._end(begin, sign)) < 0:
            return None, len(sign)
        inner = _inline(self._text[begin:end], self._depth + 1)
        if sign == "***":
            node = element("strong", None, element("em", None, *inner))
        else:
            node = element(_MARKS[sign], None, *inner)
        return node, end + len(sign) - start

    def _can_open(self, start: int, begin: int) -> bool:
        if begin >= len(self._text) or SPACE.match(self._text[begin]):
            return False
        return start == 0 or not _is_word(self._text[start - 1])

    def _end(self, begin: int, sign: str) -> int:
        """Return where the mark that began is ended; -1 where it is not."""
        if sign in self._missing:
            return -1
        at = begin
        while (at := self._text.find(sign, at + 1)) > 0:
            after = at + len(sign)
            is_single = self._text[at - 1] != sign[0] and not self._text.startswith(sign[0], after)
            can_end = not SPACE.match(self._text[at - 1]) and self._text[at - 1] != "\\"
            if can_end and is_single and (sign == "**" or not self._is_word_at(after)):
                return at
        self._missing.add(sign)
        return -1

    def _is_word_at(self, at: int) -> bool:
        return at < len(self._text) and _is_word(self._text[at])


def _label(text: str, start: int, sign: str) -> tuple[Node | None, int]:
    found = _LABELLED.match(text, start)
    if found is None:
        return None, len(sign)
    label = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", found[1])
    if found[2].startswith("mention://"):
        return element("span", {"class": "mention", "dir": "auto"}, label), len(found[0])
    node = target_link(found[2], label)
    return (None, len(sign)) if node is None else (node, len(found[0]))


def _is_word(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LNM"
