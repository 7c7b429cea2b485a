"""Elements as plain lists, and their HTML.

A node is a text, or `[tag, attributes, children]`. static/js/later/draw.js makes the same elements
of the same nodes, so that what the server prints and what scripts print is made by one shape.
"""

import re
from typing import Any

from markupsafe import Markup, escape

Node = Any  # str | [str, dict[str, str], list[Node]]
Nodes = list[Node]
# those that nothing dangerous can be made of; all others are a mistake of ours
_TAG = re.compile(
    r"a|audio|blockquote|button|code|d[dlt]|del|details|div|em|img|li|[ou]l|p|pre|span|strong"
    r"|summary|video"
)
_EMPTY = frozenset(("img",))


def element(tag: str, attributes: dict[str, str | None] | None = None, *children: Node) -> Node:
    """Return an element's node; attributes that are None are left out."""
    given = {name: value for name, value in (attributes or {}).items() if value is not None}
    return [tag, given, list(children)]


def html(nodes: Nodes) -> Markup:
    """Return the nodes' HTML, without space between them."""
    return Markup("").join(map(_html, nodes))


def _html(node: Node) -> Markup:
    if isinstance(node, str):
        return escape(node)
    tag, attributes, children = node
    if not _TAG.fullmatch(tag):
        raise ValueError(tag)
    given = Markup("").join(
        Markup(' {}="{}"').format(name, value) for name, value in attributes.items()
    )
    start = Markup("<{}{}>").format(Markup(tag), given)  # noqa: S704 - one of our own tags
    return start if tag in _EMPTY else start + html(children) + Markup("</{}>").format(tag)
