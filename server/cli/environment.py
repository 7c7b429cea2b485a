"""What commands run with: settings, and the application with an open database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from server.composition.application import Application
    from server.settings import Settings

T = TypeVar("T")


def notes() -> "Console":
    """Standard error, for what is not the command's result."""
    from rich.console import Console

    return Console(stderr=True)


def progress_bar() -> "Progress":
    """Done, total and time left on standard error, while a terminal shows it."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=notes(), transient=True)


def read_settings(**given: Any) -> "Settings":
    """Settings of the environment; options that were given replace them. Sets logging up too.

    Raises ConfigurationError.
    """
    from server import log
    from server.settings import Settings

    settings = Settings.from_environment(
        overrides={name: value for name, value in given.items() if value is not None}
    )
    log.configure(settings.log_level, settings.log_format)
    return settings


def prepare_database(settings: "Settings") -> None:
    """Check that the tables are there, and upgrade an SQLite database that lacks some.

    Raises ConfigurationError where `omni-inbox db upgrade` must be run.
    """
    from server import log
    from server.db import migrations
    from server.errors import ConfigurationError

    log.configure("ERROR", "console")  # a command speaks for itself
    problem = migrations.schema_problem(settings.database_url)
    if problem and settings.is_sqlite:
        migrations.upgrade(settings.database_url)
    elif problem:
        raise ConfigurationError(problem)


def run_with_application(
    call: "Callable[[Application], Awaitable[T]]", settings: "Settings | None" = None
) -> T:
    """Run `call` with connections and without services; the tables must be there."""
    from server.composition.application import build_application

    used = settings or read_settings()
    prepare_database(used)

    async def run() -> T:
        async with build_application(used).opened() as application:
            return await call(application)

    return asyncio.run(run())


def seal_stored_secrets(settings: "Settings") -> int:
    """Encrypt tokens that are stored in the clear, or with a key before SECRET_KEY, with
    SECRET_KEY. Returns their number.
    """
    from server.db.access import integration_rows, own_token_rows, second_factors

    async def seal(application: "Application") -> int:
        database, vault = application.resources.database, application.resources.vault
        counts = [
            await database.transaction(lambda c: one.reseal(c, vault))  # noqa: B023 - awaited at once
            for one in (integration_rows, own_token_rows, second_factors)
        ]
        return sum(counts)

    return run_with_application(seal, settings)
