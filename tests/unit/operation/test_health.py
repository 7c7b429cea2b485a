"""`/readyz` from memory: each part that fails has its sentence, and the status follows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server import metrics
from server.core.checks.integration_checks import Finding
from server.db.engine.database import Database
from server.db.journal.spool import Spool
from server.incoming.recorder import Recorder
from server.live.bus import Bus
from server.live.hub import Hub
from server.operation.health import Health
from server.problems import english
from server.tasks import Services
from tests.kit.eventually import eventually
from tests.unit.sockets import Log, connect


class Parts:
    """Real parts on files of the test, all well."""

    def __init__(self, directory: Path) -> None:
        self.services = Services()
        self.hub = Hub()
        self.database = Database(f"sqlite:///{directory / 'omni.db'}")
        self.spool = Spool(str(directory / "spool.db"), 1_000_000)
        self.bus = Bus("memory://")
        self.recorder = Recorder(self.database, self.spool, lambda: None)
        self.disks: list[Finding] = []
        self.sentences: list[str] = []
        self.health = Health(
            self.services,
            self.database,
            self.bus,
            self.spool,
            self.recorder,
            self.hub,
            lambda: self.sentences,
            lambda: self.disks,
        )
        self.health.schema_problem = None


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Parts]:
    parts = Parts(directory)
    async with parts.bus, parts.services as services:
        services.start("bus", parts.bus.run)
        services.start("canary", parts.bus.run_canary)
        services.start("health", parts.health.run)
        await eventually(lambda: parts.bus.is_up)
        yield parts


async def test_all_well_is_ready_without_a_word(tmp_path: Path) -> None:
    """Nothing that one would learn to overlook."""
    async with running(tmp_path) as parts:
        report = parts.health.report()
        assert (report["status"], report["problems"]) == ("ready", [])


@pytest.mark.parametrize("word", ["tables missing", "integration 3: webhooks do not arrive"])
async def test_a_sentence_of_anybody_degrades(tmp_path: Path, word: str) -> None:
    """Of the schema, or of those who are asked for more."""
    async with running(tmp_path) as parts:
        if word.startswith("tables"):
            parts.health.schema_problem = word
        else:
            parts.sentences.append(word)
        report = parts.health.report()
        assert (report["status"], report["problems"]) == ("degraded", [word])


async def test_without_database_and_spool_it_is_unavailable(tmp_path: Path) -> None:
    """One of them is enough to take webhooks."""
    async with running(tmp_path) as parts:
        parts.database.is_reachable = False
        assert parts.health.report()["status"] == "degraded"
        parts.spool.problem = "spool: disk full"
        assert parts.health.report()["status"] == "unavailable"


async def test_a_disk_that_is_low_is_told_with_its_remedy(tmp_path: Path) -> None:
    """And no longer when there is room again."""
    async with running(tmp_path) as parts:
        parts.disks = [
            Finding("disk of the spool", "failed", "The disk has 1 MB left", "Make room")
        ]
        await eventually(
            lambda: "The disk has 1 MB left. Make room" in parts.health.report()["problems"], 10
        )
        parts.disks = [Finding("disk of the spool", "ok", "The disk has 1 GB left")]
        await eventually(lambda: parts.health.report()["problems"] == [], 10)


async def test_a_client_that_does_not_read_is_a_note_until_it_reads_or_goes(tmp_path: Path) -> None:
    """It harms nobody else, so the status stays."""
    async with running(tmp_path) as parts:
        log = Log(parts.hub, 10)
        first, _ = connect(parts.hub, log, 10)
        second, _ = connect(parts.hub, log, 10)
        before = metrics.value_of(metrics.sockets_paused)
        first.on_pause()
        second.on_pause()
        report = parts.health.report()
        assert any("do not read" in note for note in report["notes"])
        assert report["status"] == "ready"
        first.on_resume()
        second.on_lost(1006)
        second.on_lost(1006)
        assert metrics.value_of(metrics.sockets_paused) == before


async def test_the_status_page_names_the_part_that_is_not_well(tmp_path: Path) -> None:
    """Each fault at the part an administrator looks for, with its sentence; all others stay
    well.
    """
    async with running(tmp_path) as parts:

        def unwell() -> dict[str, str]:
            return {
                one.name: english(one.text) for one in parts.health.parts() if one.state != "ok"
            }

        assert unwell() == {}
        parts.disks.append(
            Finding("disk of the spool", "failed", "The disk has 1 MB left", "Make room on it")
        )
        await eventually(lambda: "1 MB left" in unwell().get("disks", ""), limit=10.0)
        parts.database.is_reachable = False
        assert "cannot be reached" in unwell()["database"]
        parts.database.is_reachable = True
        parts.health.schema_problem = "agents missing in the database"
        assert unwell()["database"] == "agents missing in the database"
        parts.spool.waiting = 7
        assert unwell()["spool"] == "7 deliveries wait in the spool"
        parts.spool.problem = "spool: disk full"
        assert unwell()["spool"] == "spool: disk full"
        metrics.sockets_paused.inc(3)
        try:
            assert "clients that do not read what they are sent: 3" in unwell()["clients"]
        finally:
            metrics.sockets_paused.dec(3)
        parts.health.start_draining()
        assert "about to stop" in unwell()["process"]
        assert set(unwell()) == {"disks", "database", "spool", "process"}


async def test_a_service_that_dies_again_and_again_is_no_use(tmp_path: Path) -> None:
    """Once is an accident, and said; four times within two minutes, and a balancer is told to go
    elsewhere.
    """
    async with running(tmp_path) as parts:
        deaths = 0

        async def die() -> None:
            nonlocal deaths
            deaths += 1
            raise ValueError("again")

        parts.services.start("mill", die)
        await eventually(lambda: parts.health.report()["status"] == "unavailable", 30.0)
        assert deaths >= 4
        assert any("mill died 4 times" in problem for problem in parts.health.report()["problems"])
        assert any(
            part.state == "failed" and "mill" in english(part.text) for part in parts.health.parts()
        )
