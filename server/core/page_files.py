"""The page's scripts and styles as they are served: without what only people read. The sources stay as they are written.

Nothing is parsed and nothing renamed, so a stack trace still names what the source names. What this takes for granted of the sources
(no line breaks inside texts, no block comments in scripts) is held to by a test.
"""

import re

_END_OF_LINE_COMMENT = re.compile(r"(?<=[;,{(]) // [^\"'`]*$")
_STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_AROUND_STYLE = re.compile(r"\s*([{};,])\s*")


def strip_script(source: str) -> str:
    """A module without comments, indentation and empty lines; every line break that may end a statement stays."""
    lines = (_END_OF_LINE_COMMENT.sub("", line.strip()) for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"


def strip_style(source: str) -> str:
    """A style sheet without comments and the space around braces, commas and semicolons."""
    bare = _AROUND_STYLE.sub(r"\1", " ".join(_STYLE_COMMENT.sub("", source).split()))
    return bare.replace(";}", "}")
