"""Files that hold messages and secrets belong to their owner alone, whatever the umask is."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.db import migrations
from server.db.engine.database import Database
from server.db.engine.private_files import is_shared, make_private_file, make_private_folder


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The umask that hides nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_missing_folders_and_the_file_are_private(tmp_path: Path) -> None:
    """Every folder that is made on the way as well."""
    path = tmp_path / "a" / "b" / "omni.db"
    make_private_file(path)
    assert (mode(path), mode(path.parent), mode(path.parent.parent)) == (0o600, 0o700, 0o700)


def test_an_existing_file_is_taken_from_everybody_else(tmp_path: Path) -> None:
    """With the files SQLite keeps beside it; its content stays."""
    path, companion = tmp_path / "omni.db", tmp_path / "omni.db-wal"
    for existing in (path, companion):
        existing.write_text("kept")
        existing.chmod(0o644)
    make_private_file(path)
    assert (mode(path), mode(companion), path.read_text()) == (0o600, 0o600, "kept")


def test_an_existing_folder_stays_as_it_is(tmp_path: Path) -> None:
    """Others may use it on purpose."""
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path)
    make_private_file(tmp_path / "omni.db")
    assert mode(tmp_path) == 0o755
    assert is_shared(tmp_path)
    assert not is_shared(tmp_path / "omni.db")
    assert not is_shared(tmp_path / "missing")


async def test_an_embedded_database_is_private(tmp_path: Path) -> None:
    """Made by an upgrade or by the first connection, with what SQLite keeps beside it."""
    url = f"sqlite:///{tmp_path}/data/omni.db"
    migrations.upgrade(url)
    async with Database(url) as database:
        await database.transaction(lambda c: c.execute("CREATE TABLE t (a INTEGER)"))
        found = {path.name: mode(path) for path in (tmp_path / "data").iterdir()}
    assert set(found.values()) == {0o600}
    assert "omni.db-wal" in found
