"""Where the pages' templates, scripts, fonts and catalogues lie."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def web_folder() -> Path:
    """`server/web` of an installed package, or `web/` beside `server/` in the source tree."""
    installed = _PACKAGE / "web"
    return installed if installed.is_dir() else _PACKAGE.parent / "web"
