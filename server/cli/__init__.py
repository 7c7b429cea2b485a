"""The command `omni-inbox`."""


def main() -> None:
    """Run it."""
    from server.cli.commands import main as run

    run()
