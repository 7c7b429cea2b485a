"""An integration older than proofs, and a neighbour that proves the same numbers elsewhere: it
takes nothing and stops nothing.
"""

import pytest

from server.db.access.integration_record import FOUNDER, GRANDFATHERED
from server.lab.chatwoot_sim import ChatwootSim
from tests.integration.integration_admin import admin
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.webhook import delivery_of

SECRET = "u7Qm3ZtJ1xYb9Kc2Vw5Rn8Ld"  # pragma: allowlist secret
ELSEWHERE = "http://127.0.0.1:10"


@pytest.mark.parametrize("older", [GRANDFATHERED, FOUNDER])
@pytest.mark.parametrize("theirs", ["unsigned", "signed", "cannot be read"])
@pytest.mark.parametrize("has_inbox", [True, False])
async def test_a_neighbour_s_proof_stops_no_unsigned_delivery(
    server: Omni, older: int, theirs: str, has_inbox: bool
) -> None:
    """Also where the older one has the whole account, and the neighbour the very inbox; before it
    was proved, and afterwards.
    """
    columns = {"proved_at": older} | ({} if has_inbox else {"page_id": None})
    async with Company(server) as company:
        await company.change_integration(base_url=ELSEWHERE, **columns)
        numbers = (company.account_id, company.inbox_id)
        secret = SECRET if theirs == "signed" else None
        async with Company(server, numbers=numbers, webhook_secret=secret) as neighbour:
            if theirs == "cannot be read":
                await neighbour.execute(
                    "UPDATE integrations SET omni_webhook_secret = :broken WHERE id = :id",
                    id=neighbour.integration_id,
                    broken="fernet:nothing",
                )
                await neighbour.tell_server()
            entry = await company.outcome(await company.post(company.message(1)))
            assert (entry.state, entry.reason) == ("done", None)
            assert len(await company.conversations()) == 1
            assert await neighbour.conversations() == []
            if secret:
                theirs_too = await delivery_of(company.message(2), secret=secret).post(company.http)
                assert theirs_too.status_code == 200
                await neighbour.conversation_with(1)


async def test_what_cannot_be_judged_is_kept_until_it_can(server: Omni, sim: ChatwootSim) -> None:
    """Signed with a secret that nobody knows, of one of two companies: refused to neither, and
    taken in once Chatwoot has shown the secret.

    Meanwhile the older one's token is not accepted by its own Chatwoot: it is said, and stops
    nothing.
    """
    hook = sim.add_webhook(server.base_url + "/api/webhooks/chatwoot")
    async with Company(server, chatwoot=sim) as company:
        await company.change_integration(proved_at=GRANDFATHERED, access_token="wrong")
        numbers = (company.account_id, company.inbox_id)
        async with Company(server, numbers=numbers, webhook_secret=SECRET) as neighbour:
            await neighbour.change_integration(base_url=ELSEWHERE)
            async with admin(company) as http:
                await http.post(f"/api/integrations/{company.integration_id}/check")
            [(proved_at,)] = await company.rows(
                "SELECT omni_proved_at FROM integrations WHERE id = :id", id=company.integration_id
            )
            assert proved_at == GRANDFATHERED

            delivery = delivery_of(company.message(1), secret=hook.secret)
            assert (await delivery.post(company.http)).status_code == 200
            unsigned = await company.post(company.message(2))
            assert (await company.outcome(unsigned)).state == "done"

            async def is_kept() -> bool:
                found = await company.rows(
                    "SELECT reason FROM omni_webhook_deliveries WHERE state = 'ignored'"
                )
                return any("cannot be judged" in (reason or "") for (reason,) in found)

            await eventually(is_kept, 30)
            assert await neighbour.conversations() == []

            await company.change_integration(access_token=sim.admin.access_token)
            async with admin(company) as http:
                await http.post(f"/api/integrations/{company.integration_id}/check")
            await company.conversation_with(2)
            assert await neighbour.conversations() == []
            forged = await delivery_of(company.message(3), secret="unknown").post(company.http)
            assert forged.status_code == 401


async def test_who_moves_takes_no_precedence_along(server: Omni, sim: ChatwootSim) -> None:
    """The trust of an older integration is for its place: at another inbox it is the last that was
    proved, and where another company is already, it cannot go.
    """
    second = sim.add_inbox("Second", account=sim.account, id=sim.inbox.id + 500_000)
    third = sim.add_inbox("Third", account=sim.account, id=sim.inbox.id + 500_001)
    async with Company(server, chatwoot=sim) as mover:
        await mover.change_integration(proved_at=FOUNDER)
        async with (
            Company(server, chatwoot=sim, numbers=(sim.account.id, second.id)) as settled,
            admin(mover) as http,
        ):
            path = f"/api/integrations/{mover.integration_id}"
            refused = await http.patch(path, json={"inboxId": second.id})
            assert refused.status_code == 422, refused.text
            assert (await http.patch(path, json={"inboxId": third.id})).status_code == 200
            sql = "SELECT page_id, omni_proved_at FROM integrations WHERE id = :id"
            [(page_id, proved_at)] = await mover.rows(sql, id=mover.integration_id)
            assert (page_id, proved_at > FOUNDER) == (str(third.id), True)
            [(page_id, _)] = await settled.rows(sql, id=settled.integration_id)
            assert page_id == str(second.id)
