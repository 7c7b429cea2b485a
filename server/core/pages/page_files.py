"""The page's scripts and styles as they are served: without what only people read. The sources stay
as they are written.

Scripts are taken apart into words, texts, patterns and signs, never understood: names stay, but for
those no other file can know, which are the private ones (`#name`) and a module's own constants
(`const NAME`). What this takes for granted of the sources (no template in a template, no block
comments, no property called like such a constant) is held to by tests.
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
_WORD = re.compile(r"#?[\w$]+")
# the one parameter of a function, whose parentheses are needless
_SINGLE = re.compile(r"(?<![\w$])\((\w+)\)=$")
_LONGEST_NAME = 60
_CONSTANT = re.compile(r"^const ([A-Z][A-Z_]+) =", re.MULTILINE)
_NEVER_ENDS = frozenset("{([,;:?=&|<>.")  # no statement ends after one of these ...
_NEVER_BEGINS = frozenset("})],;:?=&|.")  # ... and none begins with one of these
_STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_AROUND_STYLE = re.compile(r"\s*([{};,>/])\s*")


def strip_script(source: str) -> str:
    """A module without comments, indentation, space around signs and the signs a closing one makes
    needless.

    Every line break that may end a statement stays. Numbers lose the signs that part their digits.
    """
    shorten = _Names(source).shorten
    stripped = gap = ""
    for kind, piece in _pieces(source):
        if kind in ("space", "comment"):
            gap = "\n" if "\n" in gap + piece else " "
            continue
        if kind == "word":
            piece = shorten(piece)
        elif piece.startswith("`"):
            piece = _FILLED.sub(
                lambda filled: _WORD.sub(lambda word: shorten(word[0]), filled[0]), piece
            )
        if piece == ">" and (
            single := _SINGLE.search(stripped, max(0, len(stripped) - _LONGEST_NAME))
        ):
            stripped = stripped[: single.start()] + single[1] + "="
        if piece in "})]" and stripped.endswith("," if piece != "}" else (",", ";")):
            stripped = stripped[:-1]
        stripped += (_needed(gap, stripped[-1], piece[0]) if gap and stripped else "") + piece
        gap = ""
    return stripped + "\n"


class _Names:
    """Short names for those that no other file can know, in the order in which they are met."""

    def __init__(self, source: str) -> None:
        self._constants = set(_CONSTANT.findall(source))
        self._names: dict[str, str] = {}

    def shorten(self, word: str) -> str:
        """Return the short name of a constant or private member, the same each time; other words as
        they are.
        """
        prefix = "#" if word.startswith("#") else "$" if word in self._constants else None
        if prefix is None:
            return word.replace("_", "") if word[0].isdigit() else word
        return self._names.setdefault(word, prefix + _short(len(self._names)))


def strip_style(source: str) -> str:
    """A style sheet without comments and the space around braces, commas, semicolons and
    strokes.
    """
    bare = _AROUND_STYLE.sub(r"\1", " ".join(_STYLE_COMMENT.sub("", source).split()))
    return bare.replace(";}", "}")


def _pieces(source: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    place, before = 0, ";"
    while place < len(source):
        match = (
            _PATTERN.match(source, place)
            if before in _BEFORE_PATTERN and not source.startswith("//", place)
            else None
        )
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
    return (
        _short(number // len(ascii_letters) - 1) if number >= len(ascii_letters) else ""
    ) + ascii_letters[number % len(ascii_letters)]
