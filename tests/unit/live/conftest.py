"""A log for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.live.event_log import Written, opened_log


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Written]:
    """A log with three events."""
    async with opened_log(tmp_path) as written:
        yield written
