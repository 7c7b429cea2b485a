"""The company of these tests is on a server under our protocol, then on one that speaks plain
ASGI.
"""

from collections.abc import AsyncIterator

import pytest

from tests.kit.company import Company
from tests.kit.omni import Omni


@pytest.fixture
async def company(socket_server: Omni) -> AsyncIterator[Company]:
    """A fresh company on each of the three servers."""
    async with Company(socket_server) as company:
        yield company


@pytest.fixture
async def pushed(server: Omni) -> AsyncIterator[Company]:
    """A fresh company where sockets are pushed to: what plain ASGI cannot do."""
    async with Company(server) as company:
        yield company
