"""What no client of ours would send, at every address: refused with a 4xx, and never an error of
ours.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote

import httpx
from starlette.routing import Route

from server.app import create_app
from server.settings import Settings
from tests.kit.company import Company

_NUMBERS = (
    "9" * 30,
    "9" * 5_000,
    "0",
    "-1",
    "1.5",
    "1e300",
    quote("٣"),
    "%ED%A0%80",
    "%00",
    "x" * 300,
    "%2e%2e",
)
_TEXTS = (
    "",
    "9" * 30,
    "9" * 5_000,
    "-1",
    "1e300",
    "٣",
    "²",
    "\ud800",
    "\0",
    "x" * 10_000,
    "NaN",
    "[",
    "{}",
    "true",
)
_FIELDS = (
    "undoSeconds",
    "language",
    "content",
    "email",
    "role",
    "status",
    "name",
    "password",
    "accountId",
    "baseUrl",
    "companyId",
    "key",
)
_QUERIES = (
    "limit",
    "before",
    "cursor",
    "hours",
    "integrationId",
    "status",
    "platform",
    "q",
    "before_list",
    "state",
    "lang",
    "next",
)
# no calls of an agent's, slowed down, or the end of this agent's own sign-in; and syncs, which ask
# Chatwoot
_SKIPPED = re.compile(
    r"/(api/webhooks/|metrics|api/sessions|sign-|setup|account|api/me/|invitation)|.*/sync$"
)
_IS_FULL = os.environ.get("OMNI_TEST_FULL") == "1"


def _routes(directory: Path) -> list[Route]:
    app = create_app(
        Settings(jwt_secret="k" * 32, database_url=f"sqlite:///{directory / 'unused.db'}")
    )
    return [one for one in app.routes if isinstance(one, Route) and not _SKIPPED.match(one.path)]


async def test_numbers_in_addresses(company: Company, tmp_path: Path) -> None:
    """Larger than any column, longer than Python counts, of other scripts, or none at all."""
    assert not await _ask(company, _addresses(tmp_path))


async def test_values_in_queries_and_forms(company: Company, tmp_path: Path) -> None:
    """As text, as JSON, and as fields of a form."""
    failed = []
    async with company.omni.client(company.token(role="admin")) as http:
        for n, route in enumerate(_routes(tmp_path)):
            path = re.sub(r"{[^}]*}", "1", route.path)
            for text in _TEXTS if _IS_FULL else (_TEXTS * 2)[n % len(_TEXTS) :][:3]:
                for method in sorted((route.methods or set()) - {"HEAD", "DELETE"}):
                    failed += await _with_text(
                        http, method, path, text.encode("utf-8", "surrogatepass")
                    )
    assert not failed


async def _with_text(http: httpx.AsyncClient, method: str, path: str, text: bytes) -> list[str]:
    if method == "GET":
        return await _failed(
            http,
            method,
            path + "?" + "&".join(f"{name}={quote(text[:1_500])}" for name in _QUERIES),
        )
    form = "&".join(f"{name}={quote(text)}" for name in _FIELDS).encode()
    fields = b", ".join(
        b'"%s": "%s"' % (name.encode(), text[:200])
        for name in (*_FIELDS, "messageId", "preferences")
    )
    sent = {"application/x-www-form-urlencoded": form, "application/json": b"{" + fields + b"}"}
    return [
        one
        for kind, content in sent.items()
        for one in await _failed(
            http, method, path, content=content, headers={"Content-Type": kind, **_own(http)}
        )
    ]


async def test_files_with_an_odd_kind(company: Company) -> None:
    """A content type of three hundred letters."""
    await company.post(company.message(1))
    row = await company.conversation_with(1)
    for kind in (
        "text/" + "x" * 300,
        "image/" + "x" * 300,
        "image/png; x=" + "y" * 300,
        "image/ü",
        "",
    ):
        file = ("a.png", b"x", kind.encode().decode("latin-1"))
        answer = await company.http.post(
            f"/api/conversations/{row['id']}/reply",
            data={"content": "x"},
            files={"attachments": file},
        )
        assert answer.status_code != 500, answer.text


async def test_no_answer_leads_elsewhere(company: Company) -> None:
    """A slash at the end is another address; a redirect would be made of the request's own Host."""
    for path in ("/admin/people/", "/metrics/", "/inbox/", "/api/conversations/"):
        answer = await company.http.get(path, headers={"Host": "evil.example"})
        assert (answer.status_code, answer.headers.get("location")) == (404, None)


def _addresses(directory: Path) -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"{[^}]*}", number, route.path))
        for route in _routes(directory)
        if "{" in route.path
        for method in sorted((route.methods or set()) - {"HEAD"})
        for number in _NUMBERS
    ]


async def _ask(company: Company, addresses: list[tuple[str, str]]) -> list[str]:
    failed = []
    async with company.omni.client(company.token(role="admin")) as http:
        for method, path in addresses:
            failed += await _failed(http, method, path, headers=_own(http))
    return failed


def _own(http: httpx.AsyncClient) -> dict[str, str]:
    """What a browser says of a request by one of our pages."""
    return {"Origin": str(http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}


async def _failed(http: httpx.AsyncClient, method: str, path: str, **sent: object) -> list[str]:
    """The request, if it was answered with an error of ours (502: Chatwoot, which refuses
    connections here).
    """
    answer = await http.request(method, path, **sent)  # type: ignore[arg-type]
    return (
        [f"{method} {path[:100]} {str(sent.get('content', ''))[:80]}: {answer.status_code}"]
        if answer.status_code == 500
        else []
    )
