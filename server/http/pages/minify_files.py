"""Makes the page's scripts and styles smaller: run as a program, in a process of its own.

`python minify_files.py DIRECTORY` prints a JSON object: the path of each script and style below
the directory, and its text as it is to be sent. The library is one of Go; its threads and its
memory end with this process, and never live in the server's.
"""

import json
import sys
from pathlib import Path

import minify

MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css"}


def minify_files(directory: Path) -> dict[str, str]:
    """Return the texts by their paths below the directory. Raises ValueError for a file that cannot
    be parsed.
    """
    texts: dict[str, str] = {}
    for file in sorted(directory.rglob("*")):
        if media_type := MEDIA_TYPES.get(file.suffix):
            try:
                text = minify.string(media_type, file.read_text(encoding="utf-8"))
            except minify.MinifyError as error:
                raise ValueError(f"{file}: {error}") from error
            texts[file.relative_to(directory).as_posix()] = text
    return texts


if __name__ == "__main__":
    try:
        json.dump(minify_files(Path(sys.argv[1])), sys.stdout)
    except ValueError as broken:
        sys.exit(str(broken))
