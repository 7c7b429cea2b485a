"""Who may read: tokens, sessions, companies apart, pages of strangers, guessing."""

import asyncio
import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from http.cookies import SimpleCookie
from typing import Any

import argon2
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from server.core.times import SECOND
from server.db import accounts
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import JWT_SECRET, Omni
from tests.kit.socket_client import AgentSocket

PASSWORD = "correct horse battery staple"
# as strong as a test needs: the real ones take a core for a tenth of a second, which is their purpose
CHEAP_HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

Forge = Callable[[Company], str]


def _claims(company: Company, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {"sub": "1", "companyId": company.id, "iat": now, "exp": now + 600, **changes}
    return {name: value for name, value in whole.items() if value is not None}


def _signed(company: Company, **changes: Any) -> str:
    return jwt.encode(_claims(company, **changes), JWT_SECRET, algorithm="HS256")


def _unsigned(company: Company) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, _claims(company))]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def _changed_payload(company: Company) -> str:
    head, _, signature = _signed(company).split(".")
    other = base64.urlsafe_b64encode(json.dumps(_claims(company, sub="2")).encode()).decode().rstrip("=")
    return f"{head}.{other}.{signature}"


BAD_TOKENS: dict[str, Forge] = {
    "expired": lambda c: _signed(c, exp=int(time.time()) - 120),
    "not yet valid": lambda c: _signed(c, nbf=int(time.time()) + 600),
    "without an end": lambda c: _signed(c, exp=None),
    "wrong key": lambda c: jwt.encode(_claims(c), "another secret of at least 32 bytes", algorithm="HS256"),
    "algorithm none": _unsigned,
    "HS512": lambda c: jwt.encode(_claims(c), JWT_SECRET.ljust(64, "!"), algorithm="HS512"),
    "RS256": lambda c: jwt.encode(_claims(c), PRIVATE_KEY, algorithm="RS256"),
    "payload changed": _changed_payload,
    "no company": lambda c: _signed(c, companyId=None),
    "company zero": lambda c: _signed(c, companyId=0),
    "company negative": lambda c: _signed(c, companyId=-c.id),
    "company true": lambda c: _signed(c, companyId=True),
    "company a list": lambda c: _signed(c, companyId=[c.id]),
    "company as SQL": lambda c: _signed(c, companyId=f"{c.id} OR 1=1"),
    "company too large": lambda c: _signed(c, companyId=2**63),
    "no agent": lambda c: _signed(c, sub=None),
    "agent empty": lambda c: _signed(c, sub=""),
    "agent a list": lambda c: _signed(c, sub=["1"]),
    "garbage": lambda c: "not.a.token",
    "not ASCII": lambda c: "ünsigned",
    "64 KB": lambda c: "a" * 30_000 + "." + "b" * 30_000 + ".c",
}


@pytest.mark.parametrize("case", BAD_TOKENS)
async def test_a_bad_token_is_refused(company: Company, case: str) -> None:
    """401 on every path, as a problem that says how to sign in; and the socket says the same."""
    token = BAD_TOKENS[case](company)
    header = {b"Authorization": b"Bearer " + token.encode()}
    async with company.omni.client() as http:
        for method, path in (
            ("GET", "/api/conversations"),
            ("GET", "/api/me"),
            ("GET", "/api/events"),
            ("POST", "/api/conversations/1/reply"),
        ):
            answer = await http.request(method, path, headers=header, json={"content": "x"} if method == "POST" else None)
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json"), path
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.json()["code"] in ("unauthenticated", "token_expired")
    socket = AgentSocket(company.omni.ws_url, token=token)
    assert await _refusal(socket) == 4205
    assert socket.frames[0]["code"] in ("unauthenticated", "token_expired")


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YTpi", "bearer\tx", "Token abc"])
async def test_no_token_is_refused(company: Company, header: str) -> None:
    """Nor one under another scheme."""
    async with company.omni.client(headers={"Authorization": header} if header else {}) as http:
        for path in ("/api/conversations", "/api/conversations/1/messages", "/api/me", "/api/events"):
            assert (await http.get(path)).status_code == 401
        for path in ("/api/conversations/1/reply", "/api/conversations/1/read", "/api/chatwoot/sync"):
            assert (await http.post(path, json={})).status_code == 401
        assert (await http.patch("/api/conversations/1", json={"status": "Open"})).status_code == 401
        assert (await http.delete("/api/sessions")).status_code == 401


async def test_numbers_as_text_are_accepted(company: Company) -> None:
    """Some issuers write the company, and the agent, the other way."""
    token = _signed(company, companyId=str(company.id), sub=77)
    async with company.omni.client(token) as http:
        assert (await http.get("/api/me")).json()["companyId"] == company.id


async def test_an_agent_first_seen_in_a_token_is_listed(company: Company) -> None:
    """Once, with name and role of the token."""
    token = company.token("crm-42", name="Rupa Akter", role="admin")
    async with company.omni.client(token) as http:
        me = (await http.get("/api/me")).json()
        assert (me["name"], me["role"], me["companyId"]) == ("Rupa Akter", "admin", company.id)
        await http.get("/api/me")
    rows = await company.rows("SELECT id, name, role FROM agents WHERE company_id = :c AND subject = 'crm-42'", c=company.id)
    assert [tuple(row) for row in rows] == [(me["id"], "Rupa Akter", "admin")]


async def test_an_agent_first_seen_many_times_at_once_is_one_agent(company: Company) -> None:
    """A page opens with several requests at the same moment: all are answered, as one agent."""
    async with company.client("newcomer") as http, asyncio.TaskGroup() as group:
        tasks = [group.create_task(http.get("/api/me")) for _ in range(20)]
    answers = [task.result() for task in tasks]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_the_ids_of_another_company_are_answered_like_no_ids(company: Company, server: Omni) -> None:
    """In every path and body: the same status and the same code as for ids that do not exist."""
    async with Company(server) as other:
        await other.post(other.message(1))
        await company.post(company.message(1))
        theirs, ours = await other.conversation_with(1), await company.conversation_with(1)
        there, their_message = theirs["id"], theirs["messages"][0]["id"]
        here, our_message = ours["id"], ours["messages"][0]["id"]
        nowhere = 2**40
        pairs: list[tuple[str, str, str, Any, Any]] = [
            ("GET", f"/api/conversations/{there}", f"/api/conversations/{nowhere}", None, None),
            ("GET", f"/api/conversations/{there}/messages", f"/api/conversations/{nowhere}/messages", None, None),
            ("PATCH", f"/api/conversations/{there}", f"/api/conversations/{nowhere}", {"status": "Closed"}, {"status": "Closed"}),
            ("POST", f"/api/conversations/{there}/reply", f"/api/conversations/{nowhere}/reply", {"content": "x"}, {"content": "x"}),
            (
                "POST",
                f"/api/conversations/{there}/read",
                f"/api/conversations/{nowhere}/read",
                {"messageId": their_message},
                {"messageId": nowhere},
            ),
            (
                "POST",
                f"/api/conversations/{there}/messages/{their_message}/retry",
                f"/api/conversations/{nowhere}/messages/{nowhere}/retry",
                None,
                None,
            ),
            (
                "POST",
                f"/api/conversations/{here}/messages/{their_message}/retry",
                f"/api/conversations/{here}/messages/{nowhere}/retry",
                None,
                None,
            ),
            (
                "POST",
                f"/api/conversations/{there}/messages/{our_message}/retry",
                f"/api/conversations/{nowhere}/messages/{our_message}/retry",
                None,
                None,
            ),
            (
                "POST",
                f"/api/conversations/{here}/read",
                f"/api/conversations/{here}/read",
                {"messageId": their_message},
                {"messageId": nowhere},
            ),
            (
                "GET",
                f"/api/conversations/{here}/messages?before={their_message}",
                f"/api/conversations/{here}/messages?before={nowhere}",
                None,
                None,
            ),
            ("POST", "/api/chatwoot/sync", "/api/chatwoot/sync", {"integrationId": other.integration_id}, {"integrationId": nowhere}),
        ]
        for method, path, unknown, body, unknown_body in pairs:
            answer = await company.http.request(method, path, json=body)
            reference = await company.http.request(method, unknown, json=unknown_body)
            assert _bare(answer) == _bare(reference), path
            assert answer.status_code == 404
        assert await other.conversation_with(1) == theirs
        cursor = (await other.http.get("/api/conversations")).headers["inbox-cursor"]
        told = await company.get("/api/events", params={"cursor": cursor})
        assert (told["events"], told["reset"]) == ([], "epoch")
        assert [row["id"] for row in await company.conversations(q="message")] == [here]


def _bare(answer: httpx.Response) -> tuple[int, list[str], str]:
    """Status, header names and body of an answer, without the numbers that were asked for."""
    numberless = re.sub(r"\d+", "#", answer.text)
    return answer.status_code, sorted(answer.headers), numberless


async def test_no_event_of_another_company_is_received(company: Company, server: Omni) -> None:
    """Two sockets, two companies, webhooks for both at once."""
    async with Company(server) as other, company.socket() as here, other.socket() as there:
        for number in range(1, 21):
            await company.post(company.message(number, "ours"))
            await other.post(other.message(number, "theirs"))
        await here.wait_for_seq(await company.head())
        await there.wait_for_seq(await other.head())
        assert {event.data["conversation"]["companyId"] for event in here.events} == {company.id}
        assert {event.data["message"]["content"] for event in there.events if "message" in event.data} == {"theirs"}


class Visitor:
    """A browser with an account of its own and an address of its own."""

    def __init__(self, company: Company) -> None:
        self.company, self.omni = company, company.omni
        self.email = f"agent{company.id}@example.org"
        self.address = f"127.0.{company.id // 250}.{company.id % 250 + 1}"
        self.number = 0

    async def register(self, email: str) -> int:
        """An account with the password; its number."""
        now = int(time.time() * SECOND)
        company_id = self.company.id
        return await self.company.database.transaction(
            lambda c: accounts.add_agent(c, company_id, email, "Tomas Berg", "agent", CHEAP_HASH, now)
        )

    def browser(self, address: str | None = None) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(local_address=address or self.address)
        return self.omni.client(transport=transport)

    async def signed_in(self) -> str:
        """The cookie of a new session, made without a sign-in."""
        cookie, now = secrets.token_urlsafe(32), int(time.time() * SECOND)
        key = hashlib.sha256(cookie.encode()).hexdigest()
        await self.company.database.transaction(lambda c: accounts.add_session(c, key, self.number, now, now + 3600 * SECOND))
        return cookie

    async def sign_in(self, http: httpx.AsyncClient, password: str = PASSWORD, email: str | None = None) -> httpx.Response:
        return await http.post("/api/sessions", json={"email": email or self.email, "password": password})

    def socket(self, cookie: str, origin: str | None) -> AgentSocket:
        return AgentSocket(self.omni.ws_url, cookie=f"theme=dark; omni_session={cookie}", origin=origin)


@pytest.fixture
async def visitor(company: Company) -> Visitor:
    """Somebody with a password."""
    visitor = Visitor(company)
    visitor.number = await visitor.register(visitor.email)
    return visitor


@pytest.fixture
async def browser(visitor: Visitor) -> AsyncIterator[httpx.AsyncClient]:
    """Their browser, signed in."""
    async with visitor.browser() as http:
        http.cookies.set("omni_session", await visitor.signed_in())
        yield http


async def test_signing_in_sets_a_cookie_that_scripts_cannot_read(visitor: Visitor) -> None:
    """HttpOnly, SameSite=Lax, for the whole site, for the hours of the settings."""
    async with visitor.browser() as http:
        answer = await visitor.sign_in(http, email=f"  {visitor.email.upper()} ")
        assert (answer.status_code, answer.json()["email"]) == (201, visitor.email)
        morsel = SimpleCookie(answer.headers["set-cookie"])["omni_session"]
        assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["max-age"]) == (True, "Lax", "/", str(12 * 3600))
        me = (await http.get("/api/me")).json()
    assert {name: me[name] for name in answer.json()} == answer.json()
    assert not await visitor.company.rows("SELECT 1 FROM agent_sessions WHERE token_hash = :cookie", cookie=morsel.value)


async def test_a_wrong_pair_is_answered_alike(visitor: Visitor) -> None:
    """Unknown address, wrong password, disabled agent: nobody learns which it was."""
    async with visitor.browser() as http:
        wrong = await visitor.sign_in(http, password="wrong")
        unknown = await visitor.sign_in(http, email="nobody@example.org")
        await visitor.company.execute("UPDATE agents SET is_active = :no WHERE email = :email", no=False, email=visitor.email)
        disabled = await visitor.sign_in(http)
    assert {(a.status_code, a.text) for a in (wrong, unknown, disabled)} == {(401, wrong.text)}
    assert "set-cookie" not in wrong.headers


@pytest.mark.parametrize(
    "body",
    ["{}", "[]", "x", '{"email": 5, "password": "x"}', '{"email": "a@b.c", "password": null}', '{"email": {"a": 1}, "password": []}'],
)
async def test_a_sign_in_that_cannot_be_meant_is_400(visitor: Visitor, body: str) -> None:
    """Never 500."""
    async with visitor.browser() as http:
        assert (await http.post("/api/sessions", content=body)).status_code == 400


async def test_signing_out_ends_the_session_and_its_socket(visitor: Visitor, browser: httpx.AsyncClient) -> None:
    """The cookie is worth nothing afterwards, wherever it was copied to; the live socket goes silent."""
    cookie = browser.cookies["omni_session"]
    async with visitor.socket(cookie, visitor.omni.base_url) as agent:
        answer = await browser.delete("/api/sessions", headers={"Origin": visitor.omni.base_url})
        assert answer.status_code == 204
        assert SimpleCookie(answer.headers["set-cookie"])["omni_session"]["max-age"] == "0"
        assert await agent.wait_closed(limit=5) == 4003
    async with visitor.browser() as thief:
        assert (await thief.get("/api/me", headers={"Cookie": f"omni_session={cookie}"})).status_code == 401
    assert await _refusal(visitor.socket(cookie, visitor.omni.base_url)) == 4205


def _origins(omni: Omni) -> dict[str, str | None]:
    return {
        "missing": None,
        "null": "null",
        "foreign": "https://evil.example",
        "our address as a prefix": f"{omni.base_url}.evil.example",
        "our address as a user": f"http://127.0.0.1:{omni.port}@evil.example",
        "another port": f"http://127.0.0.1:{omni.port + 1}",
        "another name": f"http://localhost:{omni.port}",
        "not an address": "http://[",
        "a list": f"{omni.base_url} https://evil.example",
    }


ORIGIN_CASES = (
    "missing",
    "null",
    "foreign",
    "our address as a prefix",
    "our address as a user",
    "another port",
    "another name",
    "a list",
    "not an address",
)


@pytest.mark.parametrize("case", ORIGIN_CASES)
async def test_a_write_from_a_foreign_page_is_refused(visitor: Visitor, browser: httpx.AsyncClient, case: str) -> None:
    """The browser sends the cookie with a form of any page: without our Origin it counts for nothing."""
    company, origin = visitor.company, _origins(visitor.omni)[case]
    await company.post(company.message(1))
    row = await company.conversation_with(1)
    headers = {"Origin": origin} if origin else {}
    for method, path, body in (
        ("PATCH", "", {"status": "Closed"}),
        ("POST", "/reply", {"content": "forged"}),
        ("POST", "/read", {"messageId": row["messages"][0]["id"]}),
    ):
        answer = await browser.request(method, f"/api/conversations/{row['id']}{path}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
    assert (await browser.delete("/api/sessions", headers=headers)).status_code == 403
    assert (await browser.post("/api/chatwoot/sync", headers=headers)).status_code == 403
    assert await company.conversation_with(1) == row


async def test_a_write_from_our_own_page_is_accepted(visitor: Visitor, browser: httpx.AsyncClient) -> None:
    """With the Origin the browser adds."""
    company = visitor.company
    await company.post(company.message(1))
    row = await company.conversation_with(1)
    body = {"messageId": row["messages"][0]["id"]}
    answer = await browser.post(f"/api/conversations/{row['id']}/read", json=body, headers={"Origin": visitor.omni.base_url})
    assert (answer.status_code, answer.json()["unreadCount"]) == (200, 0)


async def test_a_foreign_page_may_not_read_the_answer(visitor: Visitor, browser: httpx.AsyncClient) -> None:
    """No CORS header invites it, neither on the answer nor on a preflight."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PATCH"}
    for answer in (
        await browser.get("/api/conversations", headers=headers),
        await browser.options("/api/conversations/1", headers=headers),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("case", ORIGIN_CASES)
async def test_a_socket_of_a_foreign_page_is_refused(visitor: Visitor, browser: httpx.AsyncClient, case: str) -> None:
    """Browsers send cookies with cross-site sockets as well: 4003, final."""
    socket = visitor.socket(browser.cookies["omni_session"], _origins(visitor.omni)[case])
    assert await _refusal(socket) == 4003
    assert (socket.frames[0]["code"], socket.frames[0]["fatal"]) == ("forbidden", True)


async def test_a_socket_of_our_own_page_is_welcome(visitor: Visitor, browser: httpx.AsyncClient) -> None:
    """By the cookie alone; it ends with the session."""
    async with visitor.socket(browser.cookies["omni_session"], visitor.omni.base_url) as agent:
        assert agent.welcome["agent"]["name"] == "Tomas Berg"
        assert agent.welcome["expiresAt"] is not None


@pytest.mark.parametrize("case", ["null", "foreign", "not an address"])
async def test_signing_in_from_a_foreign_page_is_refused(visitor: Visitor, case: str) -> None:
    """Else a page could sign a visitor in as somebody else."""
    async with visitor.browser() as http:
        headers = {"Origin": str(_origins(visitor.omni)[case])}
        answer = await http.post("/api/sessions", json={"email": visitor.email, "password": PASSWORD}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_guessing_is_slowed_down_and_locks_nobody_out(visitor: Visitor) -> None:
    """10 tries in a row, then 429 with a time; the rightful one signs in from elsewhere meanwhile."""
    async with visitor.browser() as guesser:
        statuses = [(await visitor.sign_in(guesser, password=f"guess {n}")).status_code for n in range(10)]
        assert statuses == [401] * 10
        slowed = await visitor.sign_in(guesser)
        assert (slowed.status_code, slowed.json()["code"]) == (429, "too_many_requests")
        assert int(slowed.headers["retry-after"]) > 0
    async with visitor.browser("127.0.200.200") as home:
        assert (await visitor.sign_in(home)).status_code == 201


async def test_guessing_many_accounts_from_one_address_is_slowed_down(visitor: Visitor) -> None:
    """One password tried on everybody: the address has a budget as well."""
    emails = [f"person{n}.{visitor.email}" for n in range(40)]
    for email in emails:
        await visitor.register(email)
    async with visitor.browser() as guesser:
        statuses = [(await visitor.sign_in(guesser, email=email, password="123456")).status_code for email in emails]
    assert statuses[:30] == [401] * 30
    assert 429 in statuses


async def test_a_disabled_agent_is_refused_everywhere(company: Company) -> None:
    """REST and new sockets, within seconds, without an answer that tells more."""
    async with company.client(5) as http:
        assert (await http.get("/api/me")).status_code == 200
        await company.execute(
            "UPDATE agents SET is_active = :no, updated_at = :now WHERE company_id = :c AND subject = '5'",
            no=False,
            now=int(time.time() * SECOND),
            c=company.id,
        )

        async def refused() -> bool:
            return (await http.get("/api/conversations")).status_code == 401

        await eventually(refused)
    assert await _refusal(company.socket(5)) == 4205


async def test_what_is_public_needs_no_token_and_tells_nothing(company: Company) -> None:
    """Probes and metrics: no names, no texts, no tokens."""
    await company.post(company.message(1, "a secret text"))
    await company.conversation_with(1)
    async with company.omni.client() as http:
        for path in ("/livez", "/readyz", "/metrics"):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert not [word for word in ("secret text", "Moreau", "token-of") if word in answer.text]
    assert "a secret text" not in company.omni.log
    assert company.token() not in company.omni.log


async def _refusal(socket: AgentSocket) -> int:
    """The close code of a socket that says hello and is not welcome."""
    async with asyncio.TaskGroup() as group:
        socket._tasks = group
        await socket.open()
        await socket.say_hello()
        return await socket.wait_closed()
