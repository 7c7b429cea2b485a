"""`serve`, `worker` and `dev`: the processes that run until they are stopped."""

import click


@click.command()
@click.option("--host", help="Address to listen on (HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (PORT).")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes; more than one needs MySQL and Redis.",
)
def serve(host: str | None, port: int | None, workers: int) -> None:
    """Serve webhooks, REST, sockets and the inbox."""
    from server import log
    from server.cli.environment import read_settings, seal_stored_secrets
    from server.db import migrations
    from server.serve import serve as run

    settings = read_settings(host=host, port=port)
    settings.check_serving(workers)
    if settings.is_sqlite:
        # nobody else upgrades the embedded database
        migrations.upgrade(settings.database_url)
        seal_stored_secrets(settings)
        log.configure(settings.log_level, settings.log_format)
    run(settings, workers)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (PORT).")
def dev(port: int | None) -> None:
    """Embedded default with a simulated Chatwoot; prints addresses and a sign-in."""
    from server.cli.environment import read_settings
    from server.lab.dev import dev as run

    run(read_settings(port=port, log_format="console", log_level="WARNING"))


@click.command()
def worker() -> None:
    """Background work beside `serve`: takes deliveries that were left, sends replies, without
    listening.
    """
    import asyncio
    import signal

    from server import log
    from server.cli.environment import notes, read_settings
    from server.composition.application import build_application
    from server.operation.heartbeat import beat_until, heartbeat_path

    settings = read_settings()
    settings.check_serving(1)
    log.configure(settings.log_level, settings.log_format)

    async def run() -> None:
        async with build_application(settings).running():
            stopped = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stopped.set)
            await beat_until(stopped, heartbeat_path(settings.spool_path))

    asyncio.run(run())
    notes().print("worker stopped")
