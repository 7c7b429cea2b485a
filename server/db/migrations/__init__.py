"""Brings a database to the shape of `tables.py`: an empty one, the CRM's own, or one whose upgrade
was interrupted.

Tables, columns and indexes are completed at once; then Alembic runs the revisions that fill them,
in their order (table `omni_inbox_version`). MySQL commits every DDL statement by itself, so no step
trusts what an earlier run may have done: each looks at the database and does what is missing.
Running it again at any time is safe.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import NoSuchTableError

from server.db.access.vault import Vault
from server.db.migrations import (
    backfill,
    fill_search_texts,
    fit,
    own_names,
    shape,
)
from server.db.migrations.planning import Plan, plan_of
from server.db.migrations.progress import Progress, silent, telling
from server.db.migrations.upgrade_connection import connected, exclusive
from server.db.schema import crm_triggers
from server.errors import ConfigurationError
from server.problems import Problem, Text

__all__ = ["VERSION_TABLE", "Plan", "plan", "put_triggers_back", "schema_problem", "upgrade"]

VERSION_TABLE = "omni_inbox_version"
_HINT = Problem.of("schema.run_upgrade")


def plan(database_url: str, vault: Vault | None = None) -> Plan:
    """What `upgrade` would do and what it refuses; nothing is changed. Blocks. Raises as `upgrade`
    does.

    With a `vault` it also says which tokens `db upgrade` will encrypt.
    """
    with connected(database_url) as connection:
        is_filled = _is_filled(connection, _config(connection, []))
        return plan_of(connection, vault or Vault(""), is_filled=is_filled)


def upgrade(database_url: str, progress: Progress = silent) -> list[str]:
    """Create or complete the tables and fill our columns of rows that are older than this program.

    Returns one sentence for each thing done; an empty list when there was nothing to do. Blocks:
    from an event loop, call it in a thread. Waits for another upgrade of the same database to end.
    Raises DatabaseUnavailable when a retry may help, else ConfigurationError: then nothing was
    changed if it is the CRM's own definitions that are in the way. May be killed at any moment and
    run again. `progress` is called with what is done, rows done and rows in all.
    """
    done: list[str] = []
    with exclusive(database_url) as connection, telling(progress):
        config = _config(connection, done)
        was_filled = _is_filled(connection, config)
        if refusals := fit.check(connection).refusals:
            raise ConfigurationError(
                "\n".join(["The database was not upgraded, and nothing was changed:", *refusals])
            )
        done += crm_triggers.take_over(connection)
        done += own_names.rename(connection)
        # once for all revisions: what they fill is there, also where someone took it away
        done += shape.complete(connection)
        command.upgrade(config, "head")
        if was_filled:  # no revision ran: someone may have added an integration to link to
            done += backfill.fill(connection)
            done += fill_search_texts.fill(connection)
        done += _note_crm_changes(connection)
    return done


def put_triggers_back(database_url: str) -> list[str]:
    """Create the triggers that are missing. Blocks. Raises PermissionError where the account may
    not, ConfigurationError where a column that they name is missing (SQLite would take them, and
    then refuse every write), else as `upgrade`.
    """
    with exclusive(database_url) as connection:
        if unknown := crm_triggers.unknown_names(connection):
            raise ConfigurationError(f"Triggers name what is missing: {', '.join(unknown)}")
        return crm_triggers.ensure(connection)


def schema_problem(database_url: str) -> Text | None:
    """What keeps the program from working on this database, or None.

    For readiness: it changes nothing, and costs a few look-ups in the catalogue. Blocks. Raises
    DatabaseUnavailable or ConfigurationError.
    """
    with connected(database_url) as connection:
        try:
            return _problem(connection)
        except NoSuchTableError as error:  # somebody took it away while it was looked at
            return Problem.of("schema.missing", what=str(error), remedy=_HINT)


def _problem(connection: Connection) -> Text | None:
    missing = shape.missing(connection)
    if missing:
        what = ", ".join(missing[:3])
        if len(missing) > 3:
            return Problem.of("schema.more_missing", what=what, remedy=_HINT)
        return Problem.of("schema.missing", what=what, remedy=_HINT)
    # a revision unknown to us is a newer program's, and all we need is there
    if _revision(connection) is None:
        return Problem.of("schema.upgrade_unfinished", remedy=_HINT)
    refusals = fit.check(connection).refusals
    if refusals:
        return refusals[0]
    narrow = [] if connection.dialect.name == "sqlite" else fit.narrow(connection)
    if narrow:
        return Problem.of("schema.too_narrow", what=", ".join(narrow), remedy=_HINT)
    return None


def _note_crm_changes(connection: Connection) -> list[str]:
    try:
        return crm_triggers.ensure(connection)
    except PermissionError as error:
        return [
            (
                "no triggers: what the CRM writes is found by polling, changes of its rows late "
                f"({error}); see docs/operation.md"
            )
        ]


def _config(connection: Connection, done: list[str]) -> Config:
    config = Config(
        attributes={"connection": connection, "version_table": VERSION_TABLE, "done": done}
    )
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    ).get_current_revision()


def _is_filled(connection: Connection, config: Config) -> bool:
    """Whether all revisions ran here. Raises ConfigurationError for one that is unknown to us."""
    scripts, revision = ScriptDirectory.from_config(config), _revision(connection)
    try:
        scripts.get_revision(revision or "base")
    except CommandError as error:
        raise ConfigurationError(
            "This database was upgraded by a newer version of the program; install that one "
            f"({error})"
        ) from None
    return revision == scripts.get_current_head()
