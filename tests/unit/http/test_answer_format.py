"""The part of a tag that names the version: every change of the program is another one, and nothing
else is.
"""

from server.http.answer_format import answer_format, hash_sources


def test_any_change_is_another_format() -> None:
    """A field more, a file renamed, a piece moved from one file to the next."""
    before = [("a.py", b"x = 1"), ("b.py", b"y = 2")]
    others = [
        [("a.py", b"x = 1"), ("b.py", b"y = 3")],
        [("a.py", b"x = 1"), ("c.py", b"y = 2")],
        [("a.py", b"x = 1y"), ("b.py", b" = 2")],
        [("a.py", b"x = 1")],
    ]
    formats = [hash_sources(sources) for sources in (before, *others)]
    assert len(set(formats)) == len(formats)
    assert hash_sources(reversed(before)) == formats[0]


def test_all_processes_of_a_version_have_one() -> None:
    """Found from the sources, wherever they are; short, and fit for a header."""
    assert len(answer_format()) == 10
    assert answer_format().isalnum()
