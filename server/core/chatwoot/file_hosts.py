"""Where Chatwoot says that its files are, and whether they can be opened from there. Pure:
`server/integrations/file_trials.py` asks.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from server.core.checks.integration_checks import Finding

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
        return Finding("files", "ok", f"A file of Chatwoot's opens from here, at {origin}")
    if origin != own:
        return Finding(
            "files",
            "failed",
            f"Files cannot be opened from here: Chatwoot gives them the address {origin} (its "
            f"FRONTEND_URL), and is connected at {own}",
            "Set FRONTEND_URL in Chatwoot to an address that this server reaches, or connect "
            "Chatwoot at that one; "
            "where it lies in a private network, name its host in ATTACHMENT_HOSTS",
        )
    return Finding(
        "files",
        "failed",
        f"Files cannot be opened from here, though Chatwoot gives them its own address {origin}",
        "Look whether a file opens in Chatwoot; where it keeps them on another host of a private "
        "network, name that one in "
        "ATTACHMENT_HOSTS",
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
