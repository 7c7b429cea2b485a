"""Both ways from nothing to the first message and its answer: by the page alone, by commands
alone.
"""

import json
import re

import anyio
import httpx
from playwright.async_api import Browser, Page, expect

from tests.kit.eventually import eventually, scaled
from tests.kit.omni import Omni
from tests.tools.newcomer.ground import Chatwoot, Record, address_shown

PASSWORD = "four words are enough"
HELLO, ANSWER = "Hello, is my order on its way?", "Yes, it comes tomorrow."


async def by_page(omni: Omni, chatwoot: Chatwoot, browser: Browser, record: Record) -> None:
    """Nothing but a browser, once the server runs."""
    await anyio.to_thread.run_sync(omni.start)
    address = await address_shown(omni)
    record.note("omni-inbox serve", _window(omni))
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(scaled(15.0) * 1000)
    page = await context.new_page()
    # the server says that nobody can sign in as soon as it has looked
    await page.goto(omni.base_url)
    await eventually(lambda: _is_told(page), limit=20.0)
    await record.look(page, "open the server's address", "sign-in")
    await page.get_by_role("link", name="Set it up").click()
    await record.look(page, "follow Set it up", "where")
    await _set_up(page, address, record)
    await _connect(page, chatwoot, record)
    await _talk(page, chatwoot, record)
    await context.close()


async def _is_told(page: Page) -> bool:
    await page.reload()
    return await page.get_by_role("link", name="Set it up").count() == 1


async def _set_up(page: Page, address: str, record: Record) -> None:
    await page.goto(address)
    await record.look(page, "open the address from the server's window", "setup-first")
    await page.get_by_label("Your name").fill("Rahim Uddin")
    await page.get_by_label("E-mail").fill("rahim@example.com")
    await page.get_by_label("password").fill(PASSWORD)
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("status")).to_contain_text("administrator of your company")
    await record.look(page, "name, e-mail, password; Go on to Chatwoot", "setup-connect")


async def _connect(page: Page, chatwoot: Chatwoot, record: Record) -> None:
    await page.get_by_label("Chatwoot's address").fill(chatwoot.address)
    await page.get_by_label("Access token").fill(chatwoot.token)
    await page.get_by_role("button", name="Look for inboxes").click()
    await page.locator(f"[name=inbox_{chatwoot.inbox}]").check()
    await page.get_by_role("button", name="Connect").click()
    await expect(page.get_by_role("heading", name="Everything works")).to_be_visible()
    await record.look(page, "address, token; Look for inboxes; Connect", "setup-works")
    await page.get_by_role("button", name="Fetch everything").click()
    await expect(page.locator("[data-words]")).to_contain_text(
        "Everything was fetched", timeout=scaled(30.0) * 1000
    )
    await record.look(page, "Fetch everything", "setup-fetched")


async def _talk(page: Page, chatwoot: Chatwoot, record: Record) -> None:
    """A customer writes in Chatwoot, the agent answers here, the customer reads it."""
    await page.get_by_role("link", name="To the inbox").click()
    await expect(page.locator('#chip[data-word="live"]')).to_be_visible()
    customer = await page.context.new_page()
    await customer.goto(chatwoot.address)
    await customer.fill("#new-name", "Léa Moreau")
    await customer.press("#new-name", "Enter")
    await customer.locator("#customers .customer", has_text="Léa Moreau").click()
    await customer.fill("#text", HELLO)
    await customer.get_by_role("button", name="Send", exact=True).click()
    row = page.locator("#rows > li", has_text="Léa Moreau")
    await expect(row).to_contain_text(HELLO)
    await record.look(
        page, "a customer writes in Chatwoot; the message is in the inbox", "first-message"
    )
    await row.locator("a").click()
    await expect(page.locator("#messages > li")).to_contain_text(HELLO)  # it is read first
    await page.fill("#reply", ANSWER)
    await page.press("#reply", "Enter")
    await expect(page.locator('#messages > li[data-state="sent"]')).to_contain_text(ANSWER)
    await expect(customer.locator("#messages")).to_contain_text(ANSWER)
    await record.look(customer, "answer; the customer has it", "answered")


async def by_commands(omni: Omni, chatwoot: Chatwoot, record: Record) -> None:
    """A shell and nothing else; the message is read over the API."""
    await anyio.to_thread.run_sync(omni.start)
    record.note("omni-inbox serve", _window(omni))

    async def run(*arguments: str, given: str | None = None) -> str:
        done = await anyio.to_thread.run_sync(lambda: omni.cli(*arguments, input=given))
        shown = " ".join(arguments).replace(chatwoot.token, '"$ACCESS_TOKEN"')
        record.note(f"omni-inbox {shown}", done.stdout + done.stderr)
        assert done.returncode == 0, (arguments[:2], done.stdout, done.stderr)
        return done.stdout

    person = (
        "--company-id",
        "1",
        "--email",
        "rahim@example.com",
        "--name",
        "Rahim",
        "--role",
        "admin",
    )
    agent_id = json.loads(
        await run("agent", "add", *person, "--password-stdin", given=PASSWORD + "\n")
    )["id"]
    inbox = (
        "--company-id",
        "1",
        "--account-id",
        str(chatwoot.account),
        "--inbox-id",
        str(chatwoot.inbox),
    )
    await run(
        "integration",
        "add",
        *inbox,
        "--access-token",
        chatwoot.token,
        "--base-url",
        chatwoot.address,
        "--register",
    )
    await run("integration", "check", "--integration-id", "1")
    await run("sync")
    async with httpx.AsyncClient(base_url=chatwoot.address, trust_env=False) as http:
        made = (await http.post("/sim/customers", json={"name": "Léa Moreau"})).json()
        (
            await http.post("/sim/say", json={"customer_id": made["id"], "text": HELLO})
        ).raise_for_status()
    token = (await run("token", "--company-id", "1", "--agent-id", str(agent_id))).strip()
    record.steps[-1] = (*record.steps[-1][:2], re.sub(r"\S{40,}", "(a token)", record.steps[-1][2]))
    async with omni.client(token) as http:

        async def arrived() -> str | None:
            answer = await http.get("/api/conversations", params={"q": "Léa Moreau"})
            return answer.text if HELLO in answer.text else None

        record.note("curl .../api/conversations?q=Léa", await eventually(arrived, limit=15.0))
    await run("deliveries", "list", "--since", "1h")


def _window(omni: Omni) -> str:
    """What people read of it: not the log's lines, and the key not whole."""
    lines = [line for line in omni.log.splitlines() if not line.startswith("{")]
    return re.sub(r"key=\S+", "key=...", "\n".join(lines))
