"""What tests of integrations do again and again: an administrator's client, a command, a check, a
registration.
"""

import subprocess

import anyio
import httpx
import pytest

from tests.kit.company import Company
from tests.kit.omni import Omni

NEEDED = {
    "message_created",
    "message_updated",
    "conversation_created",
    "conversation_updated",
    "conversation_status_changed",
}

TYPING = {"conversation_typing_on", "conversation_typing_off"}


def admin(company: Company) -> httpx.AsyncClient:
    return company.omni.client(company.token("chief", role="admin", name="Chief"), timeout=30.0)


def hook_url(company: Company) -> str:
    return f"{company.omni.base_url}/api/webhooks/chatwoot"


async def command(
    omni: Omni, *arguments: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """In a thread: the simulated Chatwoot answers from this event loop."""
    return await anyio.to_thread.run_sync(lambda: omni.cli(*arguments, input=stdin))


async def findings(company: Company) -> dict[str, dict[str, str]]:
    async with admin(company) as http:
        answer = await http.post(f"/api/integrations/{company.integration_id}/check")
    assert answer.status_code == 200, answer.text
    return {finding["name"]: finding for finding in answer.json()["findings"]}


async def registered(company: Company) -> None:
    async with admin(company) as http:
        answer = await http.post(f"/api/integrations/{company.integration_id}/register")
    assert answer.status_code == 200, answer.text


# what is asked of Chatwoot alone is the same on either stack
one_stack = pytest.mark.parametrize("server", ["embedded"], indirect=True)
