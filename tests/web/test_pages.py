"""The pages without a script: what they answer, and what they refuse."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from server.errors import (
    BadRequest,
    DatabaseUnavailable,
    NoChatwootIntegration,
    NotFound,
    OmniError,
)
from server.http.pages.page_frame import PageFrame
from server.http.pages.page_requests import MAX_FORM_BYTES
from server.web_folder import web_folder
from tests.kit.eventually import eventually_sync
from tests.web.fixed_data import (
    EMAIL,
    FOREIGN_ID,
    OPEN_ID,
    ORIGIN,
    OURS,
    PASSWORD,
    Pages,
    running_pages,
)

pytestmark = pytest.mark.xdist_group("fixed-data")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    with running_pages(tmp_path_factory.mktemp("pages")) as running:
        yield running


@pytest.fixture(scope="module")
def session(pages: Pages) -> tuple[str, str]:
    return pages.sign_in()


@pytest.fixture
def client(pages: Pages, session: tuple[str, str]) -> TestClient:
    """Signed in, with nothing that a test before has chosen."""
    pages.http.cookies.clear()
    pages.http.cookies.set(*session, domain="inbox.test")
    return pages.http


@pytest.fixture
def visitor(pages: Pages) -> TestClient:
    """Not signed in."""
    pages.http.cookies.clear()
    return pages.http


def test_the_icon_that_browsers_ask_for_beside_a_document_is_there(visitor: TestClient) -> None:
    """A PDF opened by itself has no page to name one: the browser asks at its usual address."""
    found = visitor.get("/favicon.ico", follow_redirects=True)
    assert found.status_code == 200
    assert found.headers["Content-Type"].startswith("image/svg")


@pytest.mark.parametrize("path", ["/inbox", f"/inbox/c/{OPEN_ID}", "/sign-in", "/inbox/c/999"])
def test_every_page_is_guarded_and_revalidated(client: TestClient, path: str) -> None:
    """No page may be framed, run foreign scripts, or be shown from a cache without asking."""
    answer = client.get(path)
    assert "require-trusted-types-for 'script'" in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.status_code == (404 if path.endswith("999") else 200)


def test_no_page_needs_inline_code(client: TestClient) -> None:
    """Inline scripts, styles and handlers would be blocked by the policy: there are none."""
    html = client.get(f"/inbox/c/{OPEN_ID}").text
    assert (
        re.findall(r"<script(?![^>]*(?:src=|application/json))|<style|\sstyle=|\son[a-z]+=", html)
        == []
    )


def test_static_files_are_kept_for_ever_under_todays_name_only(client: TestClient) -> None:
    """A page of an earlier build still gets its files, but must not keep today's under yesterday's
    name.
    """
    href = re.search(r'href="(/static/[0-9a-f]+)/app.css"', client.get("/sign-in").text)
    assert href is not None
    assert "immutable" in client.get(f"{href[1]}/app.css").headers["Cache-Control"]
    assert client.get("/static/older/app.css").headers["Cache-Control"] == "no-cache"
    assert client.get(f"{href[1]}/../../server/app.py").status_code == 404
    for name, kind in (
        ("js/main.js", "text/javascript"),
        ("fonts/noto-sans-bengali-400.woff2", "font/woff2"),
    ):
        assert client.get(f"{href[1]}/{name}").headers["Content-Type"].startswith(kind)


def test_signed_out_visitors_come_back_to_where_they_wanted(visitor: TestClient) -> None:
    """The way to a conversation leads through the sign-in, and on."""
    assert (
        visitor.get("/inbox/c/3?status=all").headers["Location"]
        == "/sign-in?next=%2Finbox%2Fc%2F3%3Fstatus%3Dall"
    )
    form = {"email": EMAIL, "password": PASSWORD, "next": "/inbox/c/3?status=all"}
    answer = visitor.post("/sign-in", data=form, headers=OURS)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/inbox/c/3?status=all")
    assert re.search(r"__Host-omni_session=[^;]+; HttpOnly", answer.headers["Set-Cookie"])


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/inbox@evil", "/inbox\r\nX: y"],
)
def test_signing_in_leads_nowhere_else(visitor: TestClient, target: str) -> None:
    """A prepared link must not send a fresh session's owner to another site."""
    form = {"email": EMAIL, "password": PASSWORD, "next": target}
    answer = visitor.post("/sign-in", data=form, headers=OURS)
    assert answer.headers["Location"] == "/inbox"


def test_a_wrong_password_says_so_and_keeps_the_address(visitor: TestClient) -> None:
    """The form comes back with the e-mail, never with the password."""
    form = {"email": EMAIL, "password": "wrong-one"}
    answer = visitor.post("/sign-in", data=form, headers=OURS)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert EMAIL in answer.text
    assert "wrong-one" not in answer.text


def test_the_sign_in_leads_to_the_set_up_while_nobody_can_sign_in(
    visitor: TestClient, tmp_path: Path
) -> None:
    """And says nothing of it afterwards."""
    assert 'href="/setup"' not in visitor.get("/sign-in").text
    with running_pages(tmp_path, has_agent=False) as empty:
        eventually_sync(lambda: 'href="/setup"' in empty.http.get("/sign-in").text)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", f"/inbox/c/{OPEN_ID}/reply"])
def test_forms_of_other_sites_are_refused(
    client: TestClient, pages: Pages, path: str, headers: dict[str, str]
) -> None:
    """Nobody else's page signs in, signs out or replies in an agent's name."""
    before = pages.replies()
    form = {"content": "x", "mode": "reply", "email": EMAIL, "password": PASSWORD}
    answer = client.post(path, data=form, headers=headers)
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert pages.replies() == before


def test_a_reply_without_script(client: TestClient, pages: Pages) -> None:
    """The form's own client id makes a repeated submission the same reply."""
    form = {
        "content": " ধন্যবাদ\r\nsecond line ",
        "client_id": "form-1",
        "mode": "note",
        "agent": "1",
    }
    before = pages.replies()
    for _ in range(2):
        answer = client.post(f"/inbox/c/{OPEN_ID}/reply", data=form, headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/inbox/c/{OPEN_ID}")
    assert pages.replies() == [*before, (OPEN_ID, "ধন্যবাদ\nsecond line", "form-1", True)]


@pytest.mark.parametrize(
    "form", [{}, {"mode": "reply", "private": "1"}, {"mode": "Note"}, {"mode": ""}], ids=str
)
def test_a_form_that_does_not_say_what_it_is_is_refused(
    client: TestClient, pages: Pages, form: dict[str, str]
) -> None:
    """Nothing, both kinds, or an unknown one: a guess could show the customer what was meant for
    colleagues.
    """
    before = pages.replies()
    answer = client.post(f"/inbox/c/{OPEN_ID}/reply", data={"content": "x", **form}, headers=OURS)
    assert (answer.status_code, pages.replies()) == (400, before)


def test_a_form_of_another_agent_s_page_is_refused(client: TestClient, pages: Pages) -> None:
    """The browser's cookie is somebody else's by now: nothing goes out in their name."""
    before = pages.replies()
    form = {"content": "x", "mode": "reply", "agent": "8"}
    answer = client.post(f"/inbox/c/{OPEN_ID}/reply", data=form, headers=OURS)
    assert (answer.status_code, pages.replies()) == (409, before)
    assert "Somebody else is signed in" in answer.text


def test_a_page_of_another_company_s_conversation_is_noted(
    client: TestClient, pages: Pages
) -> None:
    """The agent learns nothing, and their company's audit log has a line, as from the API."""
    answer = client.get(f"/inbox/c/{FOREIGN_ID}")
    assert answer.status_code == 404
    assert answer.text == client.get("/inbox/c/98").text.replace("/98", f"/{FOREIGN_ID}")
    assert pages.refused_as_foreign() == [f"GET conversations {FOREIGN_ID}"]


def test_language_is_chosen_by_cookie_then_by_the_browser(client: TestClient) -> None:
    """A choice lasts, and its parameter does not stay in the address."""
    assert (
        '<html lang="bn"'
        in client.get("/sign-in", headers={"Accept-Language": "de, bn;q=0.8, en;q=0.5"}).text
    )
    assert (
        '<html lang="en"' in client.get("/sign-in", headers={"Accept-Language": "xx;q=oops"}).text
    )
    chosen = client.get("/inbox?lang=bn&status=all")
    assert (chosen.status_code, chosen.headers["Location"]) == (303, "/inbox?status=all")
    assert '<html lang="bn"' in client.get("/inbox").text


def test_an_unknown_zone_reads_as_utc(client: TestClient) -> None:
    """The zone is a cookie, and so is the visitor's to write."""
    for zone in ("../../etc/passwd", "Mars/Olympus", "", "/etc/passwd"):
        client.cookies.set("omni_tz", zone)
        assert client.get("/inbox").status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (
            DatabaseUnavailable(),
            503,
            "The inbox cannot reach its data at the moment. Try again shortly.",
        ),
        (NotFound(), 404, "There is nothing at this address, or it is not yours to see."),
        (NoChatwootIntegration(), 422, "This conversation has no way to the customer from here."),
        (BadRequest(), 400, "That could not be understood."),
        (OmniError(), 500, "It did not work. Try again."),
    ],
    ids=lambda value: value.code if isinstance(value, OmniError) else None,
)
def test_troubles_are_told_as_pages(error: OmniError, status: int, sentence: str) -> None:
    """A person gets a sentence in their language and a way on, never a problem document."""

    async def fail(request: Request) -> Response:
        raise error

    frame = PageFrame(web_folder())
    route = Route("/inbox", frame.page(fail), methods=["GET", "POST"])
    client = TestClient(Starlette(routes=[route]), ORIGIN)
    for answer in (client.get("/inbox"), client.post("/inbox", headers=OURS)):
        assert answer.status_code == status
        assert answer.headers["Content-Type"].startswith("text/html")
        assert sentence in answer.text
        assert answer.headers.get("Retry-After") == (
            str(error.retry_seconds) if error.retry_seconds else None
        )


def test_too_many_sign_ins_say_to_wait(visitor: TestClient) -> None:
    """The form stays, with the e-mail, so that a minute later one goes on."""
    form = {"email": "a@example.org", "password": "wrong-one"}
    for _ in range(15):
        answer = visitor.post("/sign-in", data=form, headers=OURS)
        if answer.status_code != 422:
            break
    assert answer.status_code == 429
    assert "Too many attempts. Wait a minute and try again." in answer.text
    assert 'value="a@example.org"' in answer.text


def test_a_form_beyond_all_replies_is_refused(client: TestClient, pages: Pages) -> None:
    """Its text is not dropped in silence; the longest reply there may be passes."""
    longest = "ক" * 150_000
    before = pages.replies()
    form = {"content": longest, "mode": "reply"}
    address = f"/inbox/c/{OPEN_ID}/reply"
    assert client.post(address, data=form, headers=OURS).status_code == 303
    after = pages.replies()
    assert [len(content) for _, content, _, _ in after[len(before) :]] == [150_000]
    answer = client.post(address, data={"content": "x" * MAX_FORM_BYTES}, headers=OURS)
    assert answer.status_code == 413
    assert "The text is too long." in answer.text
    assert pages.replies() == after


@pytest.mark.parametrize(
    "path",
    [
        "/inbox/nothing",
        "/inbox/c/x",
        f"/inbox/c/{2**63}",
        f"/inbox/c/{'9' * 40}",
        f"/inbox/c/{OPEN_ID}/reply",
    ],
)
def test_addresses_of_nothing_are_pages_too(client: TestClient, path: str) -> None:
    """Whatever begins like the inbox leads back to it."""
    answer = client.get(path)
    assert answer.status_code == 404
    assert 'href="/inbox"' in answer.text
