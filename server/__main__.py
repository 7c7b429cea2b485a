"""`python -m server` is the command `omni-inbox`."""

from server.cli.commands import main

main()
