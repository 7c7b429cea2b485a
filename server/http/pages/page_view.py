"""What the address of a page asks for."""

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from server.core.identifiers import MAX_ID, parse_digits
from server.errors import NotFound

FIRST_PAGE = 50
MAX_SEARCH_CHARACTERS = 200


PLATFORMS = ("facebook", "chatwoot")


@dataclass(frozen=True)
class PageFilters:
    """What the list is narrowed to."""

    status: str | None  # None: all
    platform: str | None  # None: all
    q: str
    is_unsent: bool = False  # those alone with a reply that was not sent

    def params(self) -> dict[str, str]:
        """Return the query parameters that keep these filters; none for the ordinary ones."""
        params = {} if self.status == "Open" else {"status": self.status or "all"}
        unsent = "true" if self.is_unsent else ""
        more = {"platform": self.platform or "", "q": self.q, "unsent": unsent}
        return params | {name: value for name, value in more.items() if value}


@dataclass(frozen=True)
class View:
    """What a page of the inbox shows: filters, the open conversation, and how far back."""

    filters: PageFilters
    open_id: int | None
    before: int | None  # the thread's messages before this one
    before_list: str | None  # the list's page after this place

    @classmethod
    def of(cls, request: Request) -> "View":
        """Read the view from the request's address. Raises NotFound for a conversation there cannot
        be.
        """
        query = request.query_params
        asked = query.get("status")
        status = None if asked == "all" else "Closed" if asked == "Closed" else "Open"
        q = query.get("q", "").strip()[:MAX_SEARCH_CHARACTERS]
        open_id: int | None = request.path_params.get("conversation_id")
        if open_id is not None and open_id > MAX_ID:
            raise NotFound
        platform = query.get("platform")
        is_unsent = query.get("unsent") == "true"
        filters = PageFilters(status, platform if platform in PLATFORMS else None, q, is_unsent)
        return cls(
            filters, open_id, parse_digits(query.get("before", "")), query.get("before_list")
        )

    def query(self) -> str:
        """Return the query that keeps the filters, with its question mark; empty for the ordinary
        ones.
        """
        return f"?{urlencode(self.filters.params())}" if self.filters.params() else ""

    def empty_key(self) -> str:
        """Return the key of the text for an empty list."""
        if self.filters.q or self.filters.platform:
            return "list.emptySearch"
        if self.filters.is_unsent:
            return "list.emptyUnsent"
        return "list.emptyOpen" if self.filters.status == "Open" else "list.empty"

    def api_address(self, before: str | None) -> str | None:
        """Return where a script finds the page of the list after this one; None where there is
        none.
        """
        if before is None:
            return None
        params = {
            "limit": str(FIRST_PAGE),
            "status": self.filters.status or "",
            "platform": self.filters.platform or "",
            "q": self.filters.q,
            "unsent": "true" if self.filters.is_unsent else "",
            "before": before,
        }
        return "/api/conversations?" + urlencode(
            {name: value for name, value in params.items() if value}
        )
