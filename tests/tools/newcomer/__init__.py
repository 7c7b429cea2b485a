"""A new user's first minutes, played and timed: `python -m tests.tools.newcomer`."""
