"""`db upgrade` as people see it: the plan in words, progress while it runs."""

import sys

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from server.db import migrations
from server.db.access.vault import Vault


def print_plan(database_url: str, vault: Vault) -> None:
    """Ends with status 1 where something is refused."""
    plan = migrations.plan(database_url, vault)
    for sentence in plan.refusals:
        click.echo(f"refused: {sentence}")
    for sentence in plan.warnings:
        click.echo(f"note: {sentence}")
    for sentence in plan.steps:
        click.echo(f"{'would' if plan.refusals else 'will'}: {sentence}")
    if plan.refusals:
        click.echo("Nothing is changed while something is refused.")
        sys.exit(1)
    if not plan.steps:
        click.echo("nothing to do: the database is up to date")


def run(database_url: str, notes: Console) -> list[str]:
    """Upgrade, after the notes of the plan; on a terminal with rows done, rows in all and the time
    left. Returns sentences.
    """
    for sentence in migrations.plan(database_url).warnings:
        click.echo(f"note: {sentence}", err=True)
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *times,
    )
    with Progress(*columns, console=notes, transient=True) as progress:
        line = progress.add_task("looking at the database", total=None)
        shown = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal shown
            if what != shown:
                shown = what
                progress.reset(line, description=what, total=total or None)
            progress.update(line, completed=done, total=total or None)

        return migrations.upgrade(database_url, show)
