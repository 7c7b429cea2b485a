"""Where the site is https: `__Host-` cookies, the old name for those who have it, HSTS, and the
scheme of a form's page.
"""

from collections.abc import Iterator
from http.cookies import SimpleCookie

import httpx
import pytest

from server.access.authentication import SECURE_SESSION_COOKIE, SESSION_COOKIE
from tests.integration.access.visitor import PASSWORD, Visitor
from tests.kit.omni import Omni

SITE = "https://inbox.example.org"
EMAIL = "asha@example.org"


@pytest.fixture(scope="module")
def https_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Omni]:
    """As behind a proxy that ends TLS; requests come to it in the clear."""
    folder = tmp_path_factory.mktemp("https")
    server = Omni(folder, database_url=f"sqlite:///{folder / 'omni.db'}", env={"PUBLIC_URL": SITE})
    server.prepare()
    server.add_agent(email=EMAIL, password=PASSWORD)
    try:
        server.start()
        yield server
    finally:
        server.kill9()


async def _signed_in(http: httpx.AsyncClient) -> tuple[str, httpx.Response]:
    body = {"email": EMAIL, "password": PASSWORD}
    answer = await http.post("/api/sessions", json=body, headers={"Origin": SITE})
    assert answer.status_code == 201, answer.text
    return SimpleCookie(answer.headers.get_list("set-cookie")[0])[
        SECURE_SESSION_COOKIE
    ].value, answer


async def test_the_cookies_are_bound_to_the_host(https_site: Omni) -> None:
    """`__Host-` asks for Secure, the path `/` and no domain; whoever has the old name stays signed
    in; the new one goes first.
    """
    async with https_site.client() as http:
        value, answer = await _signed_in(http)
        for line, name in zip(
            answer.headers.get_list("set-cookie"),
            ("__Host-omni_session", "__Host-omni_device"),
            strict=True,
        ):
            morsel = SimpleCookie(line)[name]
            assert (morsel["secure"], morsel["httponly"], morsel["path"], morsel["domain"]) == (
                True,
                True,
                "/",
                "",
            )
        http.cookies.clear()
        planted = f"{SESSION_COOKIE}={'A' * 43}; {SECURE_SESSION_COOKIE}={value}"
        for cookie in (f"{SECURE_SESSION_COOKIE}={value}", f"{SESSION_COOKIE}={value}", planted):
            assert (await http.get("/api/me", headers={"Cookie": cookie})).status_code == 200
        headers = {"Cookie": f"{SECURE_SESSION_COOKIE}={value}", "Origin": SITE}
        ended = await http.delete("/api/sessions", headers=headers)
        cleared = [SimpleCookie(line) for line in ended.headers.get_list("set-cookie")]
        assert {next(iter(cookie)) for cookie in cleared} == {SECURE_SESSION_COOKIE, SESSION_COOKIE}
        assert {next(iter(cookie.values()))["max-age"] for cookie in cleared} == {"0"}
        assert (await http.get("/api/me", headers=headers)).status_code == 401


async def test_browsers_are_told_to_stay_with_https(https_site: Omni) -> None:
    """HSTS on every answer, errors included; on http, where it would mean nothing, on none."""
    async with https_site.client() as http:
        for path in ("/sign-in", "/api/me", "/nowhere", "/livez"):
            assert "max-age=" in (await http.get(path)).headers["strict-transport-security"], path


FORMS: tuple[tuple[dict[str, str], bool], ...] = (
    ({"Origin": SITE}, True),
    ({"Origin": "http://inbox.example.org"}, False),
    ({"Origin": "https://inbox.example.org.evil.example"}, False),
    ({"Origin": "null"}, False),
    ({}, False),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "same-site", "Origin": SITE}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": SITE}, False),
)


async def test_the_scheme_of_a_form_s_page_counts(https_site: Omni) -> None:
    """A page of http, which anybody on the way can write, sends no form as ours, also from a
    browser without `Sec-Fetch-Site`.
    """
    form = {"email": EMAIL, "password": PASSWORD, "next": "/inbox"}
    async with https_site.client() as http:
        for headers, is_ours in FORMS:
            place = {"Host": "inbox.example.org"}
            answer = await http.post("/sign-in", data=form, headers=headers | place)
            assert answer.status_code == (303 if is_ours else 403), headers


async def test_the_way_on_after_signing_in_leads_inside(https_site: Omni) -> None:
    """Whatever `next` says; `unit/http/pages/test_page_requests.py` has more of it."""
    async with https_site.client() as http:
        for target, place in (("/inbox/c/12", "/inbox/c/12"), ("//evil.example", "/inbox")):
            form = {"email": EMAIL, "password": PASSWORD, "next": target}
            answer = await http.post("/sign-in", data=form, headers={"Origin": SITE})
            assert (answer.status_code, answer.headers["location"]) == (303, place)


async def test_on_http_nothing_of_this_is_set(visitor: Visitor) -> None:
    """On one's own machine the plain cookie works, and no browser is told to use TLS."""
    async with visitor.browser() as http:
        answer = await visitor.sign_in(http)
        names = [line.split("=")[0] for line in answer.headers.get_list("set-cookie")]
        assert names == [SESSION_COOKIE, "omni_device"]
        assert "strict-transport-security" not in answer.headers
        assert (await http.get("/api/me")).status_code == 200
