"""Addresses of every family and form: what is shown can be opened, and what people type arrives."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from server.core.checks import integration_checks
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import COMMAND, Omni
from tests.kit.processes import ServerProcess
from tests.kit.redis import Redis
from tests.unit.databases import fresh_sqlite


def _health(omni: Omni, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.operation.liveness_probe"]
    return subprocess.run(
        command,
        env=omni.env | env,
        cwd=omni.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _listening_on(host: str, directory: Path) -> Omni:
    omni = Omni(directory, database_url=fresh_sqlite(directory / "omni.db"), env={"PUBLIC_URL": ""})
    omni.process.argv[3] = host
    return omni


@pytest.mark.parametrize(("host", "others"), [("::1", ()), ("[::1]", ()), ("::", ("127.0.0.1",))])
async def test_a_server_on_ipv6_shows_an_address_that_opens(
    tmp_path: Path, host: str, others: tuple[str, ...]
) -> None:
    """With brackets; on "every address" the older family is served as well, and the health check
    finds it.
    """
    omni = _listening_on(host, tmp_path)
    omni.process._is_ready = lambda: _is_live(f"http://[::1]:{omni.port}")
    try:
        await asyncio.to_thread(omni.start)
        await eventually(lambda: f"http://[::1]:{omni.port}/setup" in omni.log, limit=30)
        assert all(_is_live(f"http://{other}:{omni.port}") for other in others)
        found = await asyncio.to_thread(_health, omni, HOST=host, PORT=str(omni.port))
        assert (found.returncode, found.stdout) == (
            0,
            f"serving: http://[::1]:{omni.port}/livez answers\n",
        ), found.stderr
    finally:
        await asyncio.to_thread(omni.kill9)


def _is_live(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def test_a_path_in_public_url_stops_the_start(tmp_path: Path) -> None:
    """With a sentence, instead of pages without styles and a sign-in that is not found."""
    omni = Omni(
        tmp_path,
        database_url=f"sqlite:///{tmp_path}/omni.db",
        env={"PUBLIC_URL": "https://example.org/inbox"},
    )
    answer = omni.cli("serve", "--port", "0")
    assert answer.returncode == 1
    assert "PUBLIC_URL must not have a path, as /inbox is" in answer.stderr
    assert "Traceback" not in answer.stderr


async def test_a_webhook_with_a_slash_at_the_end_is_taken(company: Company) -> None:
    """Answered at once, not redirected: Chatwoot before 4.14 follows none. With a key as well."""
    path = "/api/webhooks/chatwoot/"
    async with httpx.AsyncClient(base_url=company.omni.base_url, trust_env=False) as http:
        answer = await http.post(path, json=company.message(1))
        assert (answer.status_code, answer.text) == (200, "EVENT_RECEIVED")
        await company.change_integration(
            unsigned_webhooks="keyed", webhook_key=company._vault.seal("the-key")
        )
        answers = [
            (await http.post(f"{path}?key={key}", json=company.message(2))).status_code
            for key in ("wrong", "the-key")
        ]
        assert answers == [httpx.codes.UNAUTHORIZED, httpx.codes.OK]
    await company.conversation_with(2)


@pytest.mark.parametrize("end", ["", "/", "/?v=1"])
def test_such_a_webhook_is_known_as_ours(end: str) -> None:
    """Or a second one would be registered beside it, and every event come twice."""
    ours = "https://inbox.example.org/api/webhooks/chatwoot"
    assert integration_checks.is_ours(ours + end, ours)
    assert not integration_checks.is_ours(f"{ours}/other", ours)
    assert not integration_checks.is_ours(f"{ours}{end}", f"{ours}?key=another")


def test_health_of_a_worker(tmp_path: Path) -> None:
    """It does not listen, and shows that it lives: until it stands still or ends."""
    omni = Omni(
        tmp_path, database_url=fresh_sqlite(tmp_path / "omni.db"), env={"HOST": "127.0.0.1"}
    )
    omni.env["PORT"] = str(omni.port)
    assert _health(omni).returncode == 1
    worker = ServerProcess(
        [str(COMMAND), "worker"],
        log_path=tmp_path / "worker.log",
        is_ready=lambda: _health(omni).returncode == 0,
        env=omni.env,
        cwd=tmp_path,
    )
    try:
        worker.start()
        assert _health(omni).stdout.startswith("working: ")
        worker.stop()
        ended = _health(omni)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "no worker has shown itself" in ended.stderr
        assert omni.cli("health").returncode == 1
    finally:
        worker.kill()


async def test_database_and_bus_by_ipv6(
    tmp_path: Path, mariadb: MariaDB, redis_server: Redis
) -> None:
    """Their addresses with brackets: upgraded, served, and a webhook goes all the way."""
    plain = mariadb.create_database()
    async with _on_ipv6(mariadb.port) as database_port, _on_ipv6(redis_server.port) as bus_port:
        database_url = plain.replace(f"127.0.0.1:{mariadb.port}", f"[::1]:{database_port}")
        assert database_url != plain
        omni = Omni(
            tmp_path, database_url=database_url, broadcast_url=f"redis://[::1]:{bus_port}/0"
        )
        try:
            await asyncio.to_thread(omni.prepare)
            await asyncio.to_thread(omni.start)
            async with Company(omni) as company:
                await company.post(company.message(1))
                await company.conversation_with(1)

            async def is_ready() -> bool:
                async with omni.client() as http:
                    return bool((await http.get("/readyz")).json()["problems"] == [])

            await eventually(is_ready, limit=30)
        finally:
            await asyncio.to_thread(omni.kill9)


@asynccontextmanager
async def _on_ipv6(port: int) -> AsyncIterator[int]:
    """A port of `::1` that leads to one of 127.0.0.1."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(reader, inner_writer))
            both.create_task(_pump(inner_reader, writer))

    server = await asyncio.start_server(serve, "::1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()
