"""The page's scripts, styles, fonts and icons, under a name that changes with any of them."""

import hashlib
import json
import mimetypes
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.http.pages.page_requests import SECURITY_HEADERS, YEAR_SECONDS

_MINIFY = Path(__file__).with_name("minify_files.py")
_TYPES = {".js": "text/javascript", ".css": "text/css"}
_LONGEST_SECONDS = 60


def hash_files(directory: Path) -> str:
    """Return twelve hexadecimal digits of what is served, so that another way of minifying is
    another build: browsers keep files for a year without asking.
    """
    minified = minified_files(directory)
    digest = hashlib.sha256()
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = file.relative_to(directory).as_posix()
        content = minified[name].encode() if name in minified else file.read_bytes()
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:12]


@lru_cache(maxsize=8)
def minified_files(directory: Path) -> dict[str, str]:
    """Return scripts and styles by their paths below the directory, as they are sent; read once in
    the life of a process. Raises RuntimeError for one that is none.
    """
    done = subprocess.run(  # noqa: S603 - our own program, on our own folder
        [sys.executable, "-I", _MINIFY, directory],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The page's files could not be minified: {done.stderr.strip()}")
    texts: dict[str, str] = json.loads(done.stdout)
    return texts


class BuildFiles(StaticFiles):
    """Serves static files under the build's name, which changes with any of them: browsers may keep
    them for ever.
    """

    def __init__(self, directory: Path, build: str) -> None:
        super().__init__(directory=directory)
        self._build = build
        self._minified = {
            name: (text.encode(), _TYPES[Path(name).suffix])
            for name, text in minified_files(directory).items()
        }
        # what the machine's own table of types may lack
        mimetypes.add_type("font/woff2", ".woff2")
        mimetypes.add_type("text/javascript", ".js")
        mimetypes.add_type("application/manifest+json", ".webmanifest")

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file, minified where it is a script or a style, with the headers of its build.
        Raises HTTPException (404).
        """
        content, media_type = self._minified.get(path, (None, None))
        is_read = scope["method"] in ("GET", "HEAD")
        response = (
            Response(content, media_type=media_type)
            if content and is_read
            else await super().get_response(path, scope)
        )
        # A page of an earlier build is still open somewhere: it gets today's file, but must not
        # keep it under that name.
        is_ours = scope["path_params"]["build"] == self._build
        response.headers["Cache-Control"] = (
            f"public, max-age={YEAR_SECONDS}, immutable" if is_ours else "no-cache"
        )
        response.headers.update(SECURITY_HEADERS)
        return response
