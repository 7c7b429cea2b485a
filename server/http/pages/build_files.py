"""The page's scripts, styles, fonts and icons, under a name that changes with any of them."""

import hashlib
import mimetypes
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.core.pages.page_files import strip_script, strip_style
from server.http.pages.page_requests import SECURITY_HEADERS, YEAR_SECONDS


def hash_files(directory: Path) -> str:
    """Return twelve hexadecimal digits of what is served, so that another form of stripping is
    another build: browsers keep files for a year without asking.
    """
    stripped = _read_stripped(directory)
    digest = hashlib.sha256()
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = file.relative_to(directory).as_posix()
        content = stripped[name][0] if name in stripped else file.read_bytes()
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:12]


class BuildFiles(StaticFiles):
    """Serves static files under the build's name, which changes with any of them: browsers may keep
    them for ever.
    """

    def __init__(self, directory: Path, build: str) -> None:
        super().__init__(directory=directory)
        self._build = build
        self._stripped = _read_stripped(directory)
        # what the machine's own table of types may lack
        mimetypes.add_type("font/woff2", ".woff2")
        mimetypes.add_type("text/javascript", ".js")
        mimetypes.add_type("application/manifest+json", ".webmanifest")

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file, stripped where it is a script or a style, with the headers of its build.
        Raises HTTPException (404).
        """
        content, media_type = self._stripped.get(path, (None, None))
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


def _read_stripped(directory: Path) -> dict[str, tuple[bytes, str]]:
    """Return scripts and styles by their path, ready to be sent, with their types."""
    kinds = ((".js", strip_script, "text/javascript"), (".css", strip_style, "text/css"))
    return {
        file.relative_to(directory).as_posix(): (
            strip(file.read_text(encoding="utf-8")).encode(),
            media_type,
        )
        for suffix, strip, media_type in kinds
        for file in directory.rglob(f"*{suffix}")
    }
