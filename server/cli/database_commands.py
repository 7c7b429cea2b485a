"""`omni-inbox db`: the plan of an upgrade in words, and its progress while it runs."""

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from server.settings import Settings


@click.group()
def db() -> None:
    """The database."""


@db.command("upgrade")
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Say what would be done, and what speaks against it; change nothing.",
)
def db_upgrade(only_plan: bool) -> None:
    """Create what is missing, in an empty database or in a CRM's; can be run again."""
    from server.cli.environment import read_settings, seal_stored_secrets

    settings = read_settings()
    if only_plan:
        _print_plan(settings)
        return
    done = _upgrade(settings.database_url)
    if count := seal_stored_secrets(settings):
        done.append(f"{count} tokens and secrets encrypted with SECRET_KEY")
    for sentence in done or ["nothing to do: the database is up to date"]:
        click.echo(sentence)


def _print_plan(settings: "Settings") -> None:
    """Ends with status 1 where something is refused."""
    from server.db import migrations
    from server.db.access.vault import Vault

    vault = Vault(settings.secret_key, settings.old_secret_keys)
    plan = migrations.plan(settings.database_url, vault)
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


def _upgrade(database_url: str) -> list[str]:
    """Upgrade, after the warnings of the plan; on a terminal with rows done, rows in all and the
    time left. Returns what was done, in sentences.
    """
    from server.cli.environment import progress_bar
    from server.db import migrations

    for sentence in migrations.plan(database_url).warnings:
        click.echo(f"note: {sentence}", err=True)
    with progress_bar() as progress:
        line = progress.add_task("looking at the database", total=None)
        shown = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal shown
            if what != shown:
                shown = what
                progress.reset(line, description=what, total=total or None)
            progress.update(line, completed=done, total=total or None)

        return migrations.upgrade(database_url, show)
