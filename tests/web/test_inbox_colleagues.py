"""Colleagues in the page: who is here, who looks at the same conversation, who writes in it."""

from playwright.async_api import expect

from tests.kit.eventually import scaled
from tests.web.conftest import OpenWindow
from tests.web.site import Site


async def test_colleagues_are_seen_while_they_look_and_write(
    site: Site, open_window: OpenWindow
) -> None:
    """One colleague however many tabs; gone when they go."""
    number = await site.writes(site.new_customer(), "who takes it?")
    mine = await (await open_window("asha")).open(f"/inbox/c/{number}")
    told, here = mine.locator("[data-f=colleagues]"), mine.locator(".menu [data-f=here]")
    window = await open_window("tomas")
    theirs = await window.open()
    await window.open()
    await expect(here).to_have_text("1 colleague here")
    await expect(here).to_have_attribute("title", "Tomas Berg")
    await expect(told).to_be_hidden()
    await theirs.bring_to_front()
    await theirs.click(f'#rows > li[data-key="{number}"] a')
    await expect(told).to_have_text("Tomas Berg is looking at this")
    await theirs.locator("#reply").press_sequentially("I do")
    await expect(told).to_have_text("Tomas Berg is writing …")
    await theirs.fill("#reply", "")
    await expect(told).to_have_text("Tomas Berg is looking at this")
    await window.context.close()
    await expect(told).to_be_hidden(timeout=scaled(30.0) * 1000)
    await expect(here).to_be_hidden(timeout=scaled(30.0) * 1000)


async def test_an_agent_who_writes_in_chatwoot_is_seen(site: Site, open_window: OpenWindow) -> None:
    """With their name, until they stop; the page's own agent of that name is no colleague."""
    number = await site.writes(site.new_customer(), "who takes it?")
    page = await (await open_window("asha")).open(f"/inbox/c/{number}")
    await (await open_window("tomas")).open()
    # from here on it is told who types
    await expect(page.locator(".menu [data-f=here]")).to_have_text("1 colleague here")
    told = page.locator("[data-f=colleagues]")
    conversation = max(site.sim.conversations.values(), key=lambda one: one.last_activity_at)
    typing = ("conversation_typing_on", "conversation_typing_off")
    site.hook.subscriptions = (*site.hook.subscriptions, *typing)
    colleague = site.sim.add_user("Bo Agent", account=site.sim.account)
    site.sim.typing(conversation, colleague, on=True)
    await expect(told).to_have_text("Bo Agent is writing …")
    site.sim.typing(conversation, colleague, on=False)
    await expect(told).to_be_hidden()


async def test_a_hidden_tab_does_not_hide_what_another_shows(
    site: Site, open_window: OpenWindow
) -> None:
    """An agent with two tabs looks at what the visible one shows, in whatever order the tabs
    tell.
    """
    number = await site.writes(site.new_customer(), "who looks?")
    mine = await (await open_window("asha")).open(f"/inbox/c/{number}")
    window = await open_window("tomas")
    await window.open(f"/inbox/c/{number}")
    elsewhere = await window.open()
    await elsewhere.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(mine.locator("[data-f=colleagues]")).to_have_text("Tomas Berg is looking at this")


async def test_rows_tell_who_looks(site: Site, open_window: OpenWindow) -> None:
    """A mark with a name for those who hear it, on that row alone, for as long as the colleague is
    there.
    """
    first, second = (
        await site.writes(site.new_customer(), "one"),
        await site.writes(site.new_customer(), "two"),
    )
    page = await (await open_window("asha")).open()
    marks = page.locator("#rows [data-f=viewers]:visible")
    theirs = await (await open_window("tomas")).open(f"/inbox/c/{first}")
    await expect(marks).to_have_count(1)
    await expect(
        page.locator(f'#rows > li[data-key="{first}"]').get_by_role(
            "img", name="Tomas Berg is looking at this"
        )
    ).to_be_visible()
    await theirs.click(f'#rows > li[data-key="{second}"] a')
    await expect(page.locator(f'#rows > li[data-key="{second}"] [data-f=viewers]')).to_be_visible()
    await expect(marks).to_have_count(1)
    await theirs.click("a.brand")
    await expect(marks).to_have_count(0)


# what a company of a thousand is told at once, and how many of the page's names and rows come of it
CROWD = """async (build) => {
  const { Presence } = await import(`/static/${build}/js/later/presence.js`);
  let painted = 0;
  const i18n = { t: (key, { n, names }) => `${n}: ${names}` };
  const presence = new Presence({ agent: { id: 1 }, i18n, view: { openId: 7 }, list: { paint: () => painted++ } }, () => {});
  const seen = (_, at) => ({ id: at + 1, name: `Agent ${String(at + 1).padStart(3, "0")}`, viewing: 7, typing: false });
  const agents = Array.from({ length: 500 }, seen);
  presence.apply({ type: "presence", online: 1000, whole: true, agents, gone: [] });
  return [presence.viewersOf(7), presence.viewersOf(8), painted, document.querySelector(".menu [data-f=here]").textContent];
}"""  # noqa: E501


async def test_a_crowd_costs_a_line_one_name_more(site: Site, open_window: OpenWindow) -> None:
    """A thousand agents: a few are named, the others counted, and the list is asked to paint
    once.
    """
    page = await (await open_window()).open()
    build = (await page.get_attribute("link[rel=stylesheet]", "href") or "").split("/")[2]
    told, nobody, painted, here = await page.evaluate(CROWD, build)
    assert told == "499: Agent 002, Agent 003, Agent 004 +496"
    assert (nobody, painted, here) == (None, 1, "999: undefined")
