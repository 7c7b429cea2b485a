"""Fixtures of those who sign in to the web inbox."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.integration.access.visitor import Visitor
from tests.kit.company import Company


@pytest.fixture
async def visitor(company: Company) -> Visitor:
    """Somebody with a password."""
    visitor = Visitor(company)
    visitor.number = await visitor.register(visitor.email)
    return visitor


@pytest.fixture
async def browser(visitor: Visitor) -> AsyncIterator[httpx.AsyncClient]:
    """Their browser, signed in."""
    async with visitor.browser() as http:
        http.cookies.set("omni_session", await visitor.signed_in())
        yield http
