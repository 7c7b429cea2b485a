"""What people are told where there is nothing, after a form, and before anything is connected."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.web.fixed_data import OURS, Pages, running_pages

pytestmark = pytest.mark.xdist_group("fixed-data")

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
MARK = '<rect width="32" height="32" rx="8"/>'
SETTINGS = {"language": "en", "digits": "auto", "theme": "dark", "undoSeconds": "5", "agent": "1"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    with running_pages(tmp_path_factory.mktemp("pages")) as running:
        yield running


@pytest.fixture
def client(pages: Pages) -> TestClient:
    session = pages.sign_in()
    pages.http.cookies.set(*session, domain="inbox.test")
    return pages.http


def title_of(page: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", ["/nothing", "/admin/nothing", "/favicon.png", "/inbox/nothing"])
@pytest.mark.parametrize(("lang", "title"), [("en", "Nothing is here"), ("bn", "এখানে কিছু নেই")])
def test_a_browser_gets_a_page_where_there_is_nothing(
    pages: Pages, path: str, lang: str, title: str
) -> None:
    """It says so in the visitor's language, and leads to the inbox."""
    pages.http.cookies.clear()
    answer = pages.http.get(path, headers=BROWSER | {"Accept-Language": lang})
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert title_of(answer.text) == title
    assert MARK in answer.text
    assert 'href="/inbox"' in answer.text


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/nothing", "*/*"), ("/nothing", "application/json"), ("/api/nothing", BROWSER["Accept"])],
)
def test_a_program_gets_a_problem_where_there_is_nothing(
    pages: Pages, path: str, accept: str
) -> None:
    """Whoever does not ask for HTML, and whatever is asked for under `/api/`, stays as it was."""
    answer = pages.http.get(path, headers={"Accept": accept})
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


def test_an_address_of_a_form_alone_says_that_it_is_one(pages: Pages) -> None:
    """Somebody who reloads what a form was sent to is told, and goes on."""
    answer = pages.http.get("/sign-out", headers=BROWSER)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert title_of(answer.text) == "This is not a page"
    assert pages.http.get("/sign-out").json()["code"] == "method_not_allowed"


def test_a_form_of_another_site_is_refused_under_its_own_title(client: TestClient) -> None:
    """What happened, and what to do; not that something went wrong."""
    answer = client.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert title_of(answer.text) == "This is not allowed"
    assert "Open the page here and send it again." in answer.text


def test_the_sign_in_shows_the_mark(pages: Pages) -> None:
    """The first page anybody sees."""
    pages.http.cookies.clear()
    assert MARK in pages.http.get("/sign-in").text


def test_saved_settings_say_so(client: TestClient) -> None:
    """Once, on the page that stands in the application like all others."""
    assert 'role="status"' not in client.get("/inbox/settings").text
    answer = client.post("/inbox/settings", data=SETTINGS, headers=OURS)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/inbox/settings?done=saved")
    page = client.get(answer.headers["Location"]).text
    assert re.search(r'role="status">Your settings are saved\.', page)
    assert '<a class="brand" href="/inbox"' in page
    assert 'href="/account"' in page


@pytest.mark.parametrize("status", ["", "?status=Closed", "?status=all"])
def test_an_inbox_without_a_source_does_not_call_itself_done(tmp_path: Path, status: str) -> None:
    """Nothing is connected, so nothing can come: neither the page nor its script says that all is
    answered, and an administrator is led to what is missing.
    """
    with running_pages(tmp_path, is_connected=False) as empty:
        empty.http.cookies.set(*empty.sign_in(), domain="inbox.test")
        page = empty.http.get(f"/inbox{status}").text
    assert "No inbox is connected yet" in page
    assert "You are up to date" not in page
    assert "No conversations here yet" not in page
    assert '<a href="/admin/integrations">Connect an inbox</a>' in page


@pytest.mark.parametrize("zone", ["Asia/Dhaka", "UTC"])
def test_times_are_told_in_the_reader_s_zone(client: TestClient, zone: str) -> None:
    """With the distance from UTC, in which logs are written."""
    client.cookies.set("omni_tz", zone, domain="inbox.test")
    page = client.get("/account").text
    (since,) = re.findall(r"<td>(\d{4}-\d\d-\d\d \d\d:\d\d):\d\d\.\d{3} (UTC[+\d:]*)</td>", page)[
        -1:
    ]
    assert since[1] == ("UTC+06:00" if zone == "Asia/Dhaka" else "UTC")
    hours = 6 if zone == "Asia/Dhaka" else 0
    shown = datetime.fromisoformat(f"{since[0]}:00+0{hours}:00")
    assert abs((datetime.now(UTC) - shown).total_seconds()) < 300
