"""The command `omni-inbox`.

Each file holds one group of commands. It imports click alone and what a command needs when that
command runs, so that `--help` and completion do not load the server.
"""


def main() -> None:
    """Run the command line of this process."""
    from server.cli.commands import main as run

    run()
