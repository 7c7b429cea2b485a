"""The format of answers, as a part of every ETag: what an earlier version answered is not called
unchanged by a later one.

It is a hash of the program itself, so that no change of any shape, rule or rounding can be
forgotten. A deploy costs each client one whole answer.
"""

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path


@functools.cache
def answer_format() -> str:
    """Return the format's name: the same for every process of one version, wherever it is
    installed.
    """
    root = Path(__file__).parent.parent
    return hash_sources(
        (path.relative_to(root).as_posix(), path.read_bytes()) for path in root.rglob("*.py")
    )


def hash_sources(sources: Iterable[tuple[str, bytes]]) -> str:
    """Return ten hexadecimal digits that change with any (path, content), whatever their order."""
    digest = hashlib.blake2b(digest_size=5)
    for name, content in sorted(sources):
        digest.update(name.encode() + b"\0" + len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()
