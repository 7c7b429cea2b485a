"""`python -m server` is the command `omni-inbox`."""

from server.cli import main

main()
