"""Nothing crosses from one company to another, and nothing tells whether it exists there."""

import re
from typing import Any

import httpx

from server.core.times import wall_now_us
from tests.integration.access.visitor import refusal
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni


async def test_the_ids_of_another_company_are_answered_like_no_ids(
    company: Company, server: Omni
) -> None:
    """In every path and body: the same status and the same code as for ids that do not exist."""
    async with Company(server) as other:
        await other.post(other.message(1))
        await company.post(company.message(1))
        theirs, ours = await other.conversation_with(1), await company.conversation_with(1)
        there, their_message = theirs["id"], theirs["messages"][0]["id"]
        here, our_message = ours["id"], ours["messages"][0]["id"]
        nowhere = 2**40
        pairs: list[tuple[str, str, str, Any, Any]] = [
            ("GET", f"/api/conversations/{there}", f"/api/conversations/{nowhere}", None, None),
            (
                "GET",
                f"/api/conversations/{there}/messages",
                f"/api/conversations/{nowhere}/messages",
                None,
                None,
            ),
            (
                "PATCH",
                f"/api/conversations/{there}",
                f"/api/conversations/{nowhere}",
                {"status": "Closed"},
                {"status": "Closed"},
            ),
            (
                "POST",
                f"/api/conversations/{there}/reply",
                f"/api/conversations/{nowhere}/reply",
                {"content": "x"},
                {"content": "x"},
            ),
            (
                "POST",
                f"/api/conversations/{there}/read",
                f"/api/conversations/{nowhere}/read",
                {"messageId": their_message},
                {"messageId": nowhere},
            ),
            (
                "POST",
                f"/api/conversations/{there}/messages/{their_message}/retry",
                f"/api/conversations/{nowhere}/messages/{nowhere}/retry",
                None,
                None,
            ),
            (
                "POST",
                f"/api/conversations/{here}/messages/{their_message}/retry",
                f"/api/conversations/{here}/messages/{nowhere}/retry",
                None,
                None,
            ),
            (
                "POST",
                f"/api/conversations/{there}/messages/{our_message}/retry",
                f"/api/conversations/{nowhere}/messages/{our_message}/retry",
                None,
                None,
            ),
            (
                "POST",
                f"/api/conversations/{here}/read",
                f"/api/conversations/{here}/read",
                {"messageId": their_message},
                {"messageId": nowhere},
            ),
            (
                "GET",
                f"/api/conversations/{here}/messages?before={their_message}",
                f"/api/conversations/{here}/messages?before={nowhere}",
                None,
                None,
            ),
            (
                "POST",
                "/api/chatwoot/sync",
                "/api/chatwoot/sync",
                {"integrationId": other.integration_id},
                {"integrationId": nowhere},
            ),
        ]
        for method, path, unknown, body, unknown_body in pairs:
            answer = await company.http.request(method, path, json=body)
            reference = await company.http.request(method, unknown, json=unknown_body)
            assert _bare(answer) == _bare(reference), path
            assert answer.status_code == 404
        assert await other.conversation_with(1) == theirs
        cursor = (await other.http.get("/api/conversations")).headers["inbox-cursor"]
        told = await company.get("/api/events", params={"cursor": cursor})
        assert (told["events"], told["reset"]) == ([], "epoch")
        assert [row["id"] for row in await company.conversations(q="message")] == [here]


def _bare(answer: httpx.Response) -> tuple[int, list[str], str]:
    """Status, header names and body of an answer, without the numbers that were asked for."""
    numberless = re.sub(r"\d+", "#", answer.text)
    return answer.status_code, sorted(answer.headers), numberless


async def test_no_event_of_another_company_is_received(company: Company, server: Omni) -> None:
    """Two sockets, two companies, webhooks for both at once."""
    async with Company(server) as other, company.socket() as here, other.socket() as there:
        for number in range(1, 21):
            await company.post(company.message(number, "ours"))
            await other.post(other.message(number, "theirs"))
        await here.wait_for_seq(await company.head())
        await there.wait_for_seq(await other.head())
        assert {event.data["conversation"]["companyId"] for event in here.events} == {company.id}
        assert {
            event.data["message"]["content"] for event in there.events if "message" in event.data
        } == {"theirs"}


async def test_a_disabled_agent_is_refused_everywhere(company: Company) -> None:
    """REST and new sockets, within seconds, without an answer that tells more."""
    async with company.client(5) as http:
        assert (await http.get("/api/me")).status_code == 200
        await company.execute(
            "UPDATE omni_agents SET is_active = :no, updated_at = :now WHERE company_id = :c AND "
            "subject = '5'",
            no=False,
            now=wall_now_us(),
            c=company.id,
        )

        async def refused() -> bool:
            return (await http.get("/api/conversations")).status_code == 401

        await eventually(refused)
    assert await refusal(company.socket(5)) == 4205


async def test_what_is_public_needs_no_token_and_tells_nothing(company: Company) -> None:
    """Probes and metrics: no names, no texts, no tokens."""
    await company.post(company.message(1, "a secret text"))
    await company.conversation_with(1)
    async with company.omni.client() as http:
        for path in ("/livez", "/readyz", "/metrics"):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert not [
                word for word in ("secret text", "Moreau", "token-of") if word in answer.text
            ]
    assert "a secret text" not in company.omni.log
    assert company.token() not in company.omni.log
