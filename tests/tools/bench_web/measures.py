"""The measurements. Each takes the site and a browser and gives back a `Result` with goals."""

import asyncio
import statistics
import time
from collections.abc import Sequence

from playwright.async_api import Browser, Page

from server.core.times import SECOND
from server.db.engine.database import Connection, Database
from server.db.schema.columns import time_to_column
from tests.kit.eventually import eventually
from tests.kit.tcp_proxy import TcpProxy
from tests.tools.bench.results import Result
from tests.tools.bench_web.day import busy_day
from tests.tools.bench_web.looking import (
    ENTER,
    SCROLL,
    SWITCH,
    WATCH,
)
from tests.web.site import (
    Site,
    Window,
    new_window,
    says,
    shown_ids,
)

MANY = 10_000
# 1.6 Mbit/s down
_SLOW_LINE = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 200_000,
    "uploadThroughput": 93_750,
}
_SECONDS_OF_EVENTS = 10
_EVENTS_A_SECOND = 50


async def watched(site: Site, browser: Browser, agent: str = "asha", **options: object) -> Window:
    window = await new_window(site, browser, agent, **options)  # type: ignore[arg-type]
    await window.context.add_init_script(WATCH)
    return window


def _spread(
    result: Result,
    name: str,
    values: Sequence[float],
    *,
    p50: float | None = None,
    p99: float | None = None,
) -> None:
    ordered = sorted(values)
    result.add(f"{name}, median", statistics.median(ordered), "ms", most=p50)
    result.add(
        f"{name}, 99th of 100",
        ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "ms",
        most=p99,
    )


async def webhook_to_pixel(site: Site, browser: Browser) -> Result:
    result = Result(
        "webhook_to_pixel",
        "From Chatwoot's sending to the painted message in an open thread, 200 messages, ten a "
        "second",
    )
    customer = site.new_customer()
    number = await site.writes(customer, "first")
    window = await watched(site, browser)
    page = await window.open(f"/inbox/c/{number}")
    sent: dict[str, float] = {}
    for count in range(200):
        text = f"measured {count}"
        sent[text] = time.time() * 1000
        site.sim.customer_says(customer, text)
        await asyncio.sleep(0.1)
    seen = await eventually(lambda: _all_seen(page, list(sent)), limit=60)
    _spread(
        result, "webhook to pixel", [seen[text] - at for text, at in sent.items()], p50=60, p99=250
    )
    await window.context.close()
    return result


async def _all_seen(page: Page, texts: list[str]) -> dict[str, float] | None:
    seen: dict[str, float] = await page.evaluate("seen")
    return seen if all(text in seen for text in texts) else None


async def own_message(site: Site, browser: Browser) -> Result:
    result = Result("own_message", "From Enter to the painted reply, 50 replies")
    number = await site.writes(site.new_customer(), "first")
    window = await watched(site, browser)
    page = await window.open(f"/inbox/c/{number}")
    _spread(
        result,
        "Enter to own message",
        [await page.evaluate(ENTER, f"reply {count}") for count in range(50)],
        p50=50,
        p99=50,
    )
    await window.context.close()
    return result


async def switching(site: Site, browser: Browser) -> Result:
    result = Result(
        "switching",
        "From the click on a row to its painted messages, 20 conversations of 50 messages",
    )
    numbers = []
    for _ in range(20):
        numbers.append(
            await site.writes(
                site.new_customer(), *[f"message {count} of a thread" for count in range(50)]
            )
        )
    window = await watched(site, browser)
    page = await window.open()
    for name, goal in (("first visit", 300), ("visited before", 50)):
        times = [await page.evaluate(SWITCH, number) for number in numbers]
        _spread(result, name, times, p50=goal, p99=goal)
    await window.context.close()
    return result


async def waking(site: Site, browser: Browser) -> Result:
    result = Result(
        "waking",
        "From the return of a line that was dead for 50 messages to the whole thread, live, 10 "
        "times",
    )
    customer = site.new_customer()
    number = await site.writes(customer, "first")
    times = []
    async with TcpProxy(site.omni.port) as proxy:
        window = await watched(site, browser, base_url=f"http://127.0.0.1:{proxy.port}")
        page = await window.open(f"/inbox/c/{number}")
        for turn in range(10):
            proxy.refuse_new()
            proxy.cut_all()
            await says(page, "reconnecting", "polling", "offline")
            await site.writes(customer, *[f"missed {turn} {count}" for count in range(50)])
            stored = [message["id"] for message in await site.messages(number)]
            proxy.accept_new()
            start = time.monotonic()
            await page.evaluate("dispatchEvent(new Event('focus'))")
            await says(page, "live")
            # awaited at once
            await eventually(lambda: _ends_with(page, stored), limit=30)  # noqa: B023
            times.append((time.monotonic() - start) * 1000)
        await window.context.close()
    _spread(result, "caught up after waking", times, p50=1000, p99=1000)
    return result


async def _ends_with(page: Page, stored: list[int]) -> bool:
    shown = await shown_ids(page)
    return bool(shown) and stored[-len(shown) :] == shown


async def first_load(site: Site, browser: Browser) -> Result:
    result = Result(
        "first_load",
        "A thread opened with an empty cache, processor slowed down 4 times, 1.6 Mbit/s, 150 ms, "
        "5 times",
    )
    number = await site.writes(site.new_customer(), *[f"message {count}" for count in range(50)])
    paints, shifts = [], []
    for _ in range(5):
        window = await watched(site, browser)
        page = await window.context.new_page()
        devtools = await window.context.new_cdp_session(page)
        await devtools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        await devtools.send("Network.emulateNetworkConditions", _SLOW_LINE)
        await page.goto(f"{window.base_url}/inbox/c/{number}")
        await says(page, "live", limit=60)
        paints.append(float(await page.evaluate("lcp")))
        shifts.append(float(await page.evaluate("shift")))
        await window.context.close()
    result.add("largest contentful paint, median", statistics.median(paints), "ms", most=1200)
    result.add("layout shift, largest", max(shifts), "", most=0.02)
    return result


async def busy_page(site: Site, browser: Browser) -> Result:
    what = (
        f"{_EVENTS_A_SECOND} messages a second to 20 conversations for {_SECONDS_OF_EVENTS} "
        "s, one of them open and full"
    )
    result = Result("busy_page", what)
    customers = [site.new_customer() for _ in range(20)]
    number = await site.writes(customers[0], *[f"before {count}" for count in range(30)])
    window = await watched(site, browser)
    page = await window.open(f"/inbox/c/{number}")
    begun = float(await page.evaluate("performance.now()"))
    for count in range(_EVENTS_A_SECOND * _SECONDS_OF_EVENTS):
        site.sim.customer_says(customers[count % len(customers)], f"busy {count}")
        await asyncio.sleep(1 / _EVENTS_A_SECOND)
    last = f"busy {_EVENTS_A_SECOND * _SECONDS_OF_EVENTS - len(customers)}"
    await eventually(lambda: _all_seen(page, [last]), limit=60)
    tasks: list[list[float]] = await page.evaluate("tasks")
    result.add(
        "longest task",
        max([duration for start, duration in tasks if start > begun], default=0),
        "ms",
        most=50,
    )
    result.add("layout shift outside the list", float(await page.evaluate("shift")), "", most=0.02)
    result.add(
        "layout shift of rows that move to the top", float(await page.evaluate("rowShift")), ""
    )
    await window.context.close()
    return result


async def long_list(site: Site, browser: Browser) -> Result:
    result = Result(
        "long_list",
        f"{MANY:,} conversations, scrolled through from top to bottom, a screen a frame",
    )
    await _fill(site)
    window = await watched(site, browser)
    page = await window.open("/inbox?q=Scrolled")
    begun, started = float(await page.evaluate("performance.now()")), time.monotonic()
    rows, most, nodes = await page.evaluate(SCROLL, MANY)
    seconds = time.monotonic() - started
    tasks: list[list[float]] = await page.evaluate("tasks")
    result.add("rows that came by", rows, "", least=MANY)
    result.add("rows in the document, most", most, "", most=300)
    result.add("elements in the document at the end", nodes, "", most=8000)
    result.add(
        "longest task",
        max([duration for start, duration in tasks if start > begun], default=0),
        "ms",
        most=50,
    )
    result.add("all of it, pages fetched on the way", seconds, "s")
    await window.context.close()
    return result


async def _fill(site: Site) -> None:
    first_us = 1_700_000_000 * SECOND
    rows = [
        {
            "external": f"scrolled_{n}",
            "name": f"Scrolled {n}",
            "moment": time_to_column(first_us + n * SECOND),
            "number": 1_000_000 + n,
        }
        for n in range(MANY)
    ]

    async def insert(connection: Connection) -> None:
        await connection.execute_many(
            "INSERT INTO social_conversations (company_id, platform, external_user_id, "
            "external_user_name, status, last_message_at, "
            "created_at, updated_at, omni_integration_id, omni_chatwoot_conversation_id, "
            "omni_chatwoot_status, omni_channel, omni_inbound_count) "
            "VALUES (1, 'chatwoot', :external, :name, 'Open', :moment, :moment, :moment, 1, "
            ":number, 'open', 'Channel::WebWidget', 0)",
            rows,
        )

    async with Database(site.omni.env["DATABASE_URL"]) as database:
        await database.transaction(insert)


MEASURES = {
    measure.__name__: measure
    for measure in (
        webhook_to_pixel,
        own_message,
        switching,
        waking,
        first_load,
        busy_page,
        long_list,
        busy_day,
    )
}
