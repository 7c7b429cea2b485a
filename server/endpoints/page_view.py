"""What the address of a page asks for."""

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from server.errors import NotFound

FIRST_PAGE = 50
SEARCH_MOST_CHARACTERS = 200
ID_MOST = 2**63 - 1


@dataclass(frozen=True)
class View:
    """Filter, search, open conversation, and how far back."""

    status: str | None  # None: all
    q: str
    open_id: int | None
    before: int | None  # the thread's messages before this one
    before_list: str | None  # the list's page after this place

    @classmethod
    def of(cls, request: Request) -> "View":
        """Raises NotFound for a conversation there cannot be."""
        query = request.query_params
        asked = query.get("status")
        status = None if asked == "all" else "Closed" if asked == "Closed" else "Open"
        q = unicodedata.normalize("NFC", query.get("q", "").strip())[:SEARCH_MOST_CHARACTERS]
        open_id: int | None = request.path_params.get("conversation_id")
        if open_id is not None and open_id > ID_MOST:
            raise NotFound
        return cls(status, q, open_id, _number(query.get("before", "")), query.get("before_list"))

    def params(self) -> dict[str, str]:
        """The query parameters that keep the filter; none for the ordinary one."""
        params = {} if self.status == "Open" else {"status": self.status or "all"}
        return {**params, "q": self.q} if self.q else params

    def query(self) -> str:
        return f"?{urlencode(self.params())}" if self.params() else ""

    def empty_key(self) -> str:
        if self.q:
            return "list.emptySearch"
        return "list.emptyOpen" if self.status == "Open" else "list.empty"

    def api_address(self, before: str | None) -> str | None:
        """Where a script finds the page of the list after this one."""
        if before is None:
            return None
        params = {"limit": str(FIRST_PAGE), "status": self.status or "", "q": self.q, "before": before}
        return "/api/conversations?" + urlencode({name: value for name, value in params.items() if value})


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
