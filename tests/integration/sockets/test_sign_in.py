"""A live socket and its sign-in: it expires, is renewed, and is withdrawn."""

import time

import pytest

from server.core.times import SECOND, wall_now_us
from server.db.access import agent_rows
from tests.integration.sockets.clients import silent
from tests.kit.company import Company
from tests.kit.socket_client import AgentSocket


async def test_a_token_that_expires_ends_its_socket(company: Company) -> None:
    """4205: sign in again, then resume (row 44)."""
    token = company.token(exp=int(time.time()) + 2)
    async with AgentSocket(company.omni.ws_url, token=token) as agent:
        assert await agent.wait_closed(limit=10) == 4205


async def test_a_renewed_token_keeps_its_socket(company: Company) -> None:
    """`auth` in time: answered, and the socket lives on past the first token's end."""
    end = int(time.time()) + 2
    async with AgentSocket(company.omni.ws_url, token=company.token(exp=end)) as agent:
        await agent.send("auth", token=company.token())
        await agent.wait_for_frame("auth")

        def is_past() -> bool:
            return time.time() > end + 1.5

        await agent.wait_until(is_past, limit=20)  # looked at with each ping
        assert agent.is_open
        await company.post(company.message(1))
        await agent.wait_for(lambda e: e.kind == "message.created")


async def test_the_answer_to_a_renewal_says_its_end_as_welcome_does(company: Company) -> None:
    """One form for one field."""
    async with company.socket() as agent:
        await agent.send("auth", token=company.token(hours=2))
        answer = await agent.wait_for_frame("auth")
        assert isinstance(answer["expiresAt"], str)
        assert answer["expiresAt"].endswith("Z")


@pytest.mark.parametrize("case", ["another agent", "another company"])
async def test_a_renewal_as_somebody_else_is_refused(company: Company, case: str) -> None:
    """4003: a socket belongs to whom it was opened by (row 44)."""
    async with company.socket() as agent:
        token = (
            company.token(2)
            if case == "another agent"
            else company.omni.token(company.id + 500_000)
        )
        await agent.send("auth", token=token)
        assert await agent.wait_closed() == 4003
        assert agent.frames_of("error")[0]["code"] == "forbidden"


async def test_a_renewal_with_a_bad_token_ends_the_socket(company: Company) -> None:
    """As at hello."""
    async with company.socket() as agent:
        await agent.send("auth", token="garbage")
        assert await agent.wait_closed() == 4205


@pytest.mark.parametrize("case", ["disabled", "signed out everywhere"])
async def test_an_agent_without_access_is_silent_within_seconds(
    company: Company, case: str
) -> None:
    """The live socket is closed for good, and a new one is refused (row 45)."""
    async with company.socket(7) as agent, company.socket(8) as colleague:
        number = await company.agent_number(7)
        now = wall_now_us()
        is_active, after = case != "disabled", now + 2 * SECOND if case != "disabled" else 0
        await company.database.transaction(
            lambda c: agent_rows.update_access(
                c, number, is_active=is_active, valid_after_us=after, now_us=now
            )
        )
        assert await agent.wait_closed(limit=5) == 4003
        await company.post(company.message(1))
        await colleague.wait_for(lambda e: e.kind == "message.created")
        assert not agent.events
    async with silent(company.socket(7)) as again:
        await again.say_hello()
        assert await again.wait_closed() == 4205


async def test_an_agent_whose_access_ends_while_a_socket_opens_is_not_let_in_for_long(
    company: Company,
) -> None:
    """A cursor ahead of the log makes the server wait for half a second: what changed in it counts,
    too (row 45).
    """
    async with company.socket(7) as before:
        epoch, _, seq = str(before.cursor).rpartition(".")
    number, now = await company.agent_number(7), wall_now_us()
    async with silent(company.socket(7, cursor=f"{epoch}.{int(seq) + 1000}")) as socket:
        await socket.say_hello()
        await company.database.transaction(
            lambda c: agent_rows.update_access(
                c, number, is_active=False, valid_after_us=0, now_us=now
            )
        )
        assert await socket.wait_closed(limit=5) in (4003, 4205)
