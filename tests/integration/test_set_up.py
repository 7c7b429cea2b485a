"""The first run: an address in the server's window makes the first administrator, once, and nothing
else does.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.access.authentication import SESSION_COOKIE
from server.db.engine.database import Database
from tests.conftest import Stack
from tests.integration.test_admin_pages import text_of
from tests.kit.eventually import eventually
from tests.kit.omni import Omni

# nothing in these depends on the database
embedded = pytest.mark.parametrize("stack", ["embedded"], indirect=True)
PERSON = {
    "company": "7",
    "name": "Rahim  Uddin",
    "email": " Rahim@Example.org ",
    "password": "correct horse battery staple",
}


@pytest.fixture
def fresh(stack: Stack, tmp_path: Path) -> Iterator[Omni]:
    """A server on an empty database, not started yet."""
    server = Omni(tmp_path, database_url=stack.database_url, broadcast_url=stack.broadcast_url)
    server.prepare()
    try:
        yield server
    finally:
        server.kill9()


def keys_shown(*servers: Omni) -> set[str]:
    return {key for server in servers for key in re.findall(r"/setup\?key=([\w-]+)", server.log)}


async def key_of(*servers: Omni) -> str:
    [key] = await eventually(lambda: keys_shown(*servers), limit=20.0)
    return key


def visitor(
    server: Omni, origin: str | None = None, cookie: str | None = None
) -> httpx.AsyncClient:
    cookies = {SESSION_COOKIE: cookie} if cookie else {}
    return server.client(headers={"Origin": origin or server.base_url}, cookies=cookies)


async def test_the_address_makes_the_first_administrator_once(fresh: Omni) -> None:
    """It leads on to the integrations, signed in; the key is kept nowhere, and good no more; the
    act is in the audit log.
    """
    fresh.start()
    key = await key_of(fresh)
    async with visitor(fresh) as http:
        assert "Set it up" in text_of(await eventually(lambda: _with_hint(http)))
        assert "Choose a password" in text_of(await http.get("/setup", params={"key": key}))
        short = await http.post("/setup", data=PERSON | {"key": key, "password": "short"})
        assert (short.status_code, "10 characters" in text_of(short), "Uddin" in short.text) == (
            400,
            True,
            True,
        )
        assert (
            await http.post("/setup", data=PERSON | {"key": key, "company": "none"})
        ).status_code == 400
        done = await http.post("/setup", data=PERSON | {"key": key})
        assert (done.status_code, done.headers["location"]) == (
            303,
            "/admin/integrations?done=welcome",
        )
        assert (await http.get("/setup", params={"key": key})).status_code == 409
        again = await http.post("/setup", data=PERSON | {"key": key, "email": "other@example.org"})
        assert (again.status_code, "set up already" in text_of(again)) == (409, True)
        assert "Set it up" not in text_of(await http.get("/sign-in"))
    async with visitor(fresh, cookie=done.cookies[SESSION_COOKIE]) as http:
        me = (await http.get("/api/me")).json()
        assert (me["companyId"], me["name"], me["email"], me["role"]) == (
            7,
            "Rahim Uddin",
            "rahim@example.org",
            "admin",
        )
        assert "Connect its Chatwoot next" in text_of(await http.get(done.headers["location"]))
        assert [act["act"] for act in (await http.get("/api/audit")).json()] == ["agent.set-up"]
        assert (
            await http.post(
                "/api/sessions", json={"email": me["email"], "password": PERSON["password"]}
            )
        ).status_code == 201
    async with Database(fresh.env["DATABASE_URL"]) as database:
        assert await database.fetch_one("SELECT token_hash FROM omni_setup_keys") is None


async def _with_hint(http: httpx.AsyncClient) -> httpx.Response | None:
    answer = await http.get("/sign-in")
    return answer if "/setup" in answer.text else None


@embedded
async def test_without_the_key_the_page_says_where_it_is(fresh: Omni) -> None:
    """No key, a wrong one, its hash, a form from elsewhere: nobody is made, and the right one is
    good afterwards.
    """
    fresh.start()
    key = await key_of(fresh)
    hashed = hashlib.sha256(key.encode()).hexdigest()
    async with (
        visitor(fresh) as http,
        visitor(fresh, origin="https://elsewhere.example") as stranger,
    ):
        bare = await http.get("/setup")
        assert (bare.status_code, "journalctl" in text_of(bare)) == (200, True)
        for wrong in ("x", hashed, key + "x", key.swapcase()):
            refused = await http.get("/setup", params={"key": wrong})
            assert (refused.status_code, "no longer good" in text_of(refused)) == (403, True)
            assert (await http.post("/setup", data=PERSON | {"key": wrong})).status_code == 403
        assert (await http.post("/setup", data=PERSON)).status_code == 403
        assert (await stranger.post("/setup", data=PERSON | {"key": key})).status_code == 403
        assert (await http.post("/setup", data=PERSON | {"key": key})).status_code == 303


@embedded
async def test_guessing_is_slowed_down(fresh: Omni) -> None:
    """Thirty tries at once, then a wait; how many come back meanwhile depends on the machine."""
    fresh.start()
    await key_of(fresh)
    async with visitor(fresh) as http:
        answers: list[int] = []
        while 429 not in answers and len(answers) < 300:
            answers.append(
                (
                    await http.post("/setup", data=PERSON | {"key": f"guess-{len(answers)}"})
                ).status_code
            )
    assert answers[:30] == [403] * 30
    assert answers[-1] == 429


async def test_two_who_use_it_at_once_are_one(fresh: Omni) -> None:
    """The same key, two names, at the same moment: one administrator."""
    fresh.start()
    key = await key_of(fresh)
    async with visitor(fresh) as http, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                http.post("/setup", data=PERSON | {"key": key, "email": f"person{n}@example.org"})
            )
            for n in range(4)
        ]
    assert sorted(task.result().status_code for task in tasks)[0] == 303
    async with Database(fresh.env["DATABASE_URL"]) as database:
        assert len(await database.fetch_all("SELECT id FROM omni_agents")) == 1


@pytest.mark.parametrize("stack", ["production"], indirect=True)
async def test_of_several_processes_one_shows_an_address_that_all_take(fresh: Omni) -> None:
    """Two servers, one of them with two workers: one address; whichever process answers takes
    it.
    """
    beside = Omni(
        fresh.directory,
        database_url=fresh.env["DATABASE_URL"],
        broadcast_url=fresh.env["BROADCAST_URL"],
        workers=2,
    )
    try:
        fresh.start()
        beside.start()
        key = await key_of(fresh, beside)
        async with visitor(beside) as http:
            assert (await http.get("/setup", params={"key": key})).status_code == 200
            assert (await http.post("/setup", data=PERSON | {"key": key})).status_code == 303
        async with visitor(fresh) as http:
            assert (await http.get("/setup", params={"key": key})).status_code == 409
        assert keys_shown(fresh, beside) == {key}
    finally:
        beside.terminate()


@embedded
async def test_a_key_ends_with_its_process(fresh: Omni) -> None:
    """After a stop the next start shows another at once, and the old one is good no more."""
    fresh.start()
    first = await key_of(fresh)
    fresh.terminate()
    fresh.start()
    [second] = await eventually(lambda: keys_shown(fresh) - {first}, limit=20.0)
    async with visitor(fresh) as http:
        assert (await http.get("/setup", params={"key": first})).status_code == 403
        assert (await http.get("/setup", params={"key": second})).status_code == 200


@embedded
@pytest.mark.parametrize("in_use_by", ["administrator", "agent", "withdrawn", "integration"])
async def test_where_people_or_integrations_are_no_address_is_shown(
    fresh: Omni, in_use_by: str
) -> None:
    """Whoever reads the log would get what is others': an administrator is made by a command
    then.
    """
    if in_use_by == "integration":
        fresh.add_integration(company_id=1, inbox_id=1)
    else:
        fresh.add_agent(role="admin" if in_use_by == "administrator" else "agent")
    if in_use_by == "withdrawn":
        async with Database(fresh.env["DATABASE_URL"]) as database:
            await database.transaction(lambda c: c.execute("UPDATE omni_agents SET is_active = 0"))
    fresh.start()
    async with visitor(fresh) as http:
        assert (await http.get("/setup")).status_code == 409
        assert (await http.post("/setup", data=PERSON | {"key": "any"})).status_code == 409
    assert keys_shown(fresh) == set()
