"""How large a fault test is, and what it has measured."""

import os

# demonstrations by hand: minutes instead of seconds
IS_FULL_SIZE = bool(os.environ.get("OMNI_TEST_FULL"))


def sized(short: float, full: float) -> float:
    """How long, how many: for a test run, and with OMNI_TEST_FULL=1 for a demonstration."""
    return full if IS_FULL_SIZE else short


def told(row: str, **figures: object) -> None:
    """Print a measured line (`pytest -s` shows it)."""
    print(f"\n  [{row}] " + ", ".join(f"{name} {_shown(value)}" for name, value in figures.items()))


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
