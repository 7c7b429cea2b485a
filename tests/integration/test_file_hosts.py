"""Where Chatwoot's files are: a host that is not the connected one is said before an agent meets a
broken picture.
"""

from urllib.parse import urlsplit

import httpx
import pytest

from server.chatwoot import ChatwootClient
from server.chatwoot.files import Files
from server.core.checks.integration_checks import Finding
from server.db.access.integration_record import Integration
from server.integrations.file_trials import FileTrial
from server.lab.chatwoot_sim import ChatwootSim
from server.lab.chatwoot_sim.samples import picture
from server.problems import english
from tests.integration.integration_admin import admin, command
from tests.integration.test_admin_pages import text_of
from tests.kit.company import Company
from tests.kit.ports import free_port

_REMEDY = "Set FRONTEND_URL in Chatwoot to an address that this server reaches"


def _moved(sim: ChatwootSim) -> str:
    """Chatwoot gives its files another host than the one it is connected at: its FRONTEND_URL.
    Returns that address.
    """
    sim.base_url = f"http://localhost:{urlsplit(sim.base_url).port}"
    return sim.base_url


async def _check(company: Company) -> list[Finding]:
    async with admin(company) as http:
        found = (await http.post(f"/api/integrations/{company.integration_id}/check")).json()[
            "findings"
        ]
    return [Finding(**one) for one in found if one["name"] == "files"]


async def test_the_check_tries_a_file(shop: Company, sim: ChatwootSim) -> None:
    """Nothing is said where there is none; one that opens is well, on another host as well, as the
    connected one gives it; where that does not, it fails, with what to do.
    """
    said = sim.customer_says("Rahima", "No file yet")
    assert await _check(shop) == []
    sent = sim.customer_says("Rahima", "Here", attachments=[picture()])
    [well] = await _check(shop)
    assert (well.state, english(well.text)) == (
        "ok",
        f"A file of Chatwoot's opens from here, at {sim.base_url}",
    )
    sim.agent_says(said.conversation, "Thank you")  # the file is not in the newest message any more
    connected, files = sim.base_url, _moved(sim)
    [moved] = await _check(shop)
    assert moved.state == "ok"
    sent.attachments[0].key = "gone"
    [broken] = await _check(shop)
    assert broken.state == "failed"
    assert files in english(broken.text)
    assert connected in english(broken.text)
    assert english(broken.remedy).startswith(_REMEDY)
    done = await command(
        shop.omni, "integration", "check", "--integration-id", str(shop.integration_id)
    )
    assert done.returncode == 1
    assert _REMEDY in done.stdout


async def test_a_file_that_is_gone_is_no_fault_of_the_host(shop: Company, sim: ChatwootSim) -> None:
    """Another one is tried."""
    gone = sim.customer_says("Rahima", "Here", attachments=[picture(), picture()])
    first = gone.attachments[0]
    first.key = "gone"
    [well] = await _check(shop)
    assert well.state == "ok"


async def test_the_form_says_it_before_anything_is_connected(
    company: Company, sim: ChatwootSim
) -> None:
    """In both languages; the inboxes are there to choose from all the same."""
    sent = sim.customer_says("Rahima", "Here", attachments=[picture()])
    sent.attachments[0].key = "gone"
    connected, files = sim.base_url, _moved(sim)
    form = {"base_url": connected, "access_token": sim.admin.access_token, "look": "1"}
    async with admin(company) as http:
        page = await http.post("/admin/integrations", data=form)
        shown = text_of(page)
        assert (
            f"Chatwoot gives them the address {files} (its FRONTEND_URL), and is connected at "
            f"{connected}"
        ) in shown
        assert _REMEDY in shown
        assert f'name="inbox_{sim.inbox.id}"' in page.text
        bengali = text_of(
            await http.post("/admin/integrations", data=form, headers={"Cookie": "omni_lang=bn"})
        )
        assert "ফাইল এখান থেকে খোলা যায় না" in bengali


@pytest.mark.parametrize(("named", "state"), [((), "failed"), (("localhost",), "ok")])
async def test_a_named_host_is_well(sim: ChatwootSim, named: tuple[str, ...], state: str) -> None:
    """`ATTACHMENT_HOSTS`, where the connected address gives no files."""
    sim.customer_says("Rahima", "Here", attachments=[picture()])
    connected, _ = sim.base_url, _moved(sim)
    own = Integration(
        id=1,
        company_id=1,
        account_id=sim.account.id,
        inbox_id=sim.inbox.id,
        base_url=f"http://127.0.0.1:{free_port()}",
        access_token=sim.admin.access_token,
        is_active=True,
        is_webhook_active=True,
        webhook_secret=None,
        previous_webhook_secret=None,
    )

    async with (
        httpx.AsyncClient(trust_env=False) as http,
        Files(allows_private=True, private_hosts=named, most_bytes=10**7) as files,
    ):

        def client_of(one: Integration) -> ChatwootClient:
            return ChatwootClient(
                base_url=connected,
                account_id=sim.account.id,
                access_token=one.access_token,
                http=http,
            )

        found = await FileTrial(client_of, files).try_files(own, None)
    assert found is not None
    assert found.state == state
