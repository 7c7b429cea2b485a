"""REQUIRE_WEBHOOK_SIGNATURE on a server of its own: what is not signed changes nothing, whenever it
came, and says why.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Stack
from tests.integration.integration_admin import admin, command
from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni, running
from tests.kit.webhook import delivery_of

SECRET = "u7Qm3ZtJ1xYb9Kc2Vw5Rn8Ld"  # pragma: allowlist secret
_REASON = "the signature does not fit the integration's secret"


@pytest.fixture
def strict(stack: Stack, tmp_path: Path) -> Iterator[Omni]:
    """A server that takes signed webhooks alone."""
    env = {"REQUIRE_WEBHOOK_SIGNATURE": "true"}
    with running(
        tmp_path, database_url=stack.database_url, broadcast_url=stack.broadcast_url, env=env
    ) as server:
        yield server


async def test_only_what_is_signed_is_taken(strict: Omni) -> None:
    """With the integration's secret it is a message; without one, with another one, and for an
    integration that has none: 401.
    """
    async with Company(strict, webhook_secret=SECRET) as signed, Company(strict) as without:
        for company, secret in (
            (signed, None),
            (signed, "another"),
            (without, None),
            (without, SECRET),
        ):
            answer = await delivery_of(company.message(1), secret=secret).post(company.http)
            assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
        assert (await signed.outcome(await signed.post(signed.message(2)))).state == "done"
        assert len((await signed.conversation_with(1))["messages"]) == 1
        assert await without.conversations() == []
        assert len(await signed.rows("SELECT id FROM omni_webhook_deliveries")) == 1


async def test_what_came_before_its_integration_is_judged_when_it_is_tried_again(
    strict: Omni,
) -> None:
    """It was kept, as nobody's; its reason stands in the API, on the command's list, and after
    another try names the signature.
    """
    late = Company(strict, webhook_secret=SECRET)
    async with Company(strict, webhook_secret=SECRET) as other:
        assert (
            await delivery_of(late.message(1), secret="another").post(other.http)
        ).status_code == 200
        await eventually(
            lambda: other.rows("SELECT id FROM omni_webhook_deliveries WHERE state = 'ignored'")
        )

        async def parked(state: str) -> Json | None:
            async with admin(late) as http:
                found: list[Json] = (
                    await http.get("/api/deliveries", params={"state": state})
                ).json()
            return found[0] if found else None

        async with late:
            before = await eventually(lambda: parked("ignored"))
            assert before["reason"].startswith(f"no integration for account {late.account_id}")
            async with admin(late) as http:
                assert (await http.post(f"/api/deliveries/{before['id']}/retry")).status_code == 204
            after = await eventually(lambda: parked("dead"))
            assert (after["id"], after["reason"]) == (before["id"], _REASON)
            assert await late.conversations() == []
            async with admin(other) as http:
                assert (await http.get(f"/api/deliveries/{before['id']}")).status_code == 404
        listed = await command(strict, "deliveries", "list", "--state", "dead")
        assert _REASON in listed.stdout
        shown = json.loads((await command(strict, "deliveries", "show", str(before["id"]))).stdout)
        assert (shown["state"], shown["reason"]) == ("dead", _REASON)
