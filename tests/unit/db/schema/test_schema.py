"""schema.sql is what tables.py says, and may be loaded again and again."""

import subprocess
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from server.db.migrations import schema_problem, upgrade
from server.db.schema.render import render
from server.db.schema.tables import metadata
from tests.kit.mariadb import MariaDB
from tests.kit.processes import find_program

_SCHEMA_SQL = Path(__file__).parents[4] / "schema.sql"


def test_schema_sql_is_rendered_from_the_tables() -> None:
    """Whoever changes tables.py renders schema.sql again: python -m server.db.schema.render >
    schema.sql.
    """
    assert _SCHEMA_SQL.read_text("utf-8") == render()


def test_every_table_says_what_it_is_for() -> None:
    """A comment in the file and in the database."""
    text = render()
    for table in metadata.sorted_tables:
        assert table.comment
        assert f"-- {table.comment}\nCREATE TABLE IF NOT EXISTS {table.name} (" in text


def test_schema_sql_loads_twice(mariadb: MariaDB) -> None:
    """The command-line client takes it, and takes it again; an upgrade then finds nothing to add
    but triggers.
    """
    url = mariadb.create_database()
    for _ in range(2):
        assert _load(url) == ""
    (triggers,) = upgrade(url)
    assert triggers.startswith("created triggers")
    assert upgrade(url) == []
    assert schema_problem(url) is None


def _load(url: str) -> str:
    """Feed schema.sql to the client; returns what it complains about."""
    client = find_program("mariadb", "mysql")
    if client is None:
        pytest.skip("the mariadb client is not installed (Debian package mariadb-client)")
    at = make_url(url)
    connect = [
        "--no-defaults",
        "-h",
        str(at.host),
        "-P",
        str(at.port),
        "-u",
        str(at.username),
        f"-p{at.password}",
        str(at.database),
    ]
    done = subprocess.run(
        [client, *connect],
        input=_SCHEMA_SQL.read_bytes(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.stderr.decode() or (
        "" if done.returncode == 0 else f"exit status {done.returncode}"
    )
