"""The command line as a whole."""

from typing import Any

import click

from server.cli.agent_commands import agent
from server.cli.contact_commands import contact
from server.cli.database_commands import db
from server.cli.delivery_commands import deliveries
from server.cli.integration_commands import integration
from server.cli.load_command import load
from server.cli.machine_commands import doctor, drain, health
from server.cli.serving_commands import dev, serve, worker
from server.cli.stream_commands import stream
from server.cli.sync_command import sync
from server.cli.token_command import token
from server.cli.trace_commands import trace
from server.errors import OmniError


class _RootGroup(click.Group):
    """Shows our own errors as one sentence, with exit status 1 and without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and turn an OmniError into click's one-line error."""
        try:
            return super().invoke(ctx)
        except OmniError as error:
            raise click.ClickException(error.message) from error


@click.group(cls=_RootGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Omni Inbox: the realtime inbox between Chatwoot and a company's agents. Settings come from
    the environment.
    """


for _command in (
    serve,
    dev,
    worker,
    db,
    token,
    sync,
    integration,
    load,
    doctor,
    drain,
    health,
    deliveries,
    stream,
    trace,
    contact,
    agent,
):
    main.add_command(_command)
