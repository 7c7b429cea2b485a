"""Where Chatwoot says that its files are, and whether they can be opened from there. Pure:
`server/integrations/file_trials.py` asks.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from server.core.checks.integration_checks import Finding
from server.problems import Problem

# Chatwoot's own files; others are a provider's, or addresses outside
_PATH = "/rails/active_storage/"


def addresses(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of the files that these messages have, each once."""
    found = [
        url
        for message in messages
        for one in message.get("attachments") or ()
        if isinstance(one, dict) and isinstance(url := one.get("data_url"), str) and _PATH in url
    ]
    return list(dict.fromkeys(found))


def judge(base_url: str, url: str, *, is_open: bool) -> Finding:
    """`url` is a file's address as Chatwoot gives it, on the host of its FRONTEND_URL."""
    origin, own = _origin(url), _origin(base_url)
    if is_open:
        return Finding("files", "ok", Problem.of("files.open", origin=origin))
    if origin != own:
        return Finding(
            "files",
            "failed",
            Problem.of("files.other_origin", origin=origin, own=own),
            Problem.of("files.set_frontend_url"),
        )
    return Finding(
        "files",
        "failed",
        Problem.of("files.closed", origin=origin),
        Problem.of("files.check_host"),
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
