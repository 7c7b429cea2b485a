"""The page's scripts and styles as they are served: without what only people read. The sources stay as they are written.

Scripts are taken apart into words, texts, patterns and signs, never understood: names stay, but for the private ones (`#name`), which no
other file can know. What this takes for granted of the sources (no template in a template, no block comments) is held to by a test.
"""

import re
from string import ascii_letters

_PIECE = re.compile(
    r"""(?P<comment>//[^\n]*)
    |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)
    |(?P<space>\s+)
    |(?P<word>\#?[\w$]+)
    |(?P<sign>.)""",
    re.VERBOSE,
)
_PATTERN = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*")
_BEFORE_PATTERN = "(,=:[!&|?{};>"
_FILLED = re.compile(r"\$\{[^}]*\}")  # where a template holds an expression
_PRIVATE = re.compile(r"#\w+")
_NEVER_ENDS = frozenset("{([,;:?=&|<>.")  # no statement ends after one of these ...
_NEVER_BEGINS = frozenset("})],;:?=&|.")  # ... and none begins with one of these
_STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_AROUND_STYLE = re.compile(r"\s*([{};,>])\s*")


def strip_script(source: str) -> str:
    """A module without comments, indentation, space around signs and the signs a closing one makes needless.

    Every line break that may end a statement stays.
    """
    names: dict[str, str] = {}

    def short(name: str) -> str:
        return names.setdefault(name, f"#{_short(len(names))}")

    stripped = gap = ""
    for kind, piece in _pieces(source):
        if kind in ("space", "comment"):
            gap = "\n" if "\n" in gap + piece else " "
            continue
        if piece.startswith("#"):
            piece = short(piece)
        elif piece.startswith("`"):
            piece = _FILLED.sub(lambda filled: _PRIVATE.sub(lambda name: short(name[0]), filled[0]), piece)
        if piece in "})]" and stripped.endswith("," if piece != "}" else (",", ";")):
            stripped = stripped[:-1]
        stripped += (_needed(gap, stripped[-1:], piece[0]) if gap else "") + piece
        gap = ""
    return stripped + "\n"


def strip_style(source: str) -> str:
    """A style sheet without comments and the space around braces, commas and semicolons."""
    bare = _AROUND_STYLE.sub(r"\1", " ".join(_STYLE_COMMENT.sub("", source).split()))
    return bare.replace(";}", "}")


def _pieces(source: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place, before = 0, ";"
    while place < len(source):
        match = _PATTERN.match(source, place) if before in _BEFORE_PATTERN and not source.startswith("//", place) else None
        match = match or _PIECE.match(source, place)
        if match is None:
            raise ValueError(f"no script: {source[place : place + 20]!r}")
        kind = match.lastgroup or "text"
        found.append((kind, match[0]))
        place = match.end()
        if kind not in ("space", "comment"):
            before = match[0][-1]
    return found


def _needed(gap: str, before: str, after: str) -> str:
    """What has to stay between two pieces of what stood there."""
    if gap == "\n":
        return "" if before in _NEVER_ENDS or after in _NEVER_BEGINS else "\n"
    is_word = [re.match(r"[\w$#]", sign) is not None for sign in (before, after)]
    return " " if all(is_word) or (before == after and before in "+-/") else ""


def _short(number: int) -> str:
    return (_short(number // len(ascii_letters) - 1) if number >= len(ascii_letters) else "") + ascii_letters[number % len(ascii_letters)]
