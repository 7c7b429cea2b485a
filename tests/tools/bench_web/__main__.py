"""`make bench-web`: measures the page in a browser, and with `--write-docs` writes the figures into
docs/performance.md.
"""

import argparse
import asyncio
import datetime as dt
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright
from rich.console import Console
from rich.table import Table

from tests.kit.processes import find_program
from tests.tools.bench import machine
from tests.tools.bench.results import Result, figure, verdict
from tests.tools.bench_web.measures import MEASURES
from tests.web.site import running_site

_PAGE = Path(__file__).parents[3] / "docs" / "performance.md"
_BEGIN, _END = "<!-- page figures: written by make bench-web -->", "<!-- page figures: end -->"


async def main() -> None:
    options = _options()
    console = Console()
    results = []
    async with async_playwright() as playwright:
        program = find_program("chromium", "chromium-browser", "google-chrome")
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name in options.only or MEASURES:
            with tempfile.TemporaryDirectory() as directory:
                async with running_site(Path(directory)) as site:
                    results.append(await MEASURES[name](site, browser))
            console.print(_table(results[-1]))
            for note in results[-1].notes:
                console.print(f"  {note}")
        version = browser.version
        await browser.close()
    if options.write_docs:
        _write(results, {**machine.describe(), "browser": f"Chromium {version}"})


def _table(result: Result) -> Table:
    table = Table("figure", "value", "goal", "", title=result.name, caption=result.what)
    for row in result.rows:
        table.add_row(row.name, f"{figure(row.value)} {row.unit}", row.goal_text, verdict(row))
    return table


def _write(results: list[Result], about: dict[str, str]) -> None:
    lines = [
        f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d} with `make bench-web ARGS=--write-docs`.",
        "",
        "| machine | |",
        "| --- | --- |",
    ]
    lines += [f"| {name} | {text} |" for name, text in about.items() if name != "packages"]
    for result in results:
        lines += [
            "",
            f"{result.what}:",
            "",
            "| figure | value | goal | |",
            "| --- | ---: | --- | --- |",
        ]
        lines += [
            f"| {row.name} | {figure(row.value)} {row.unit} | {row.goal_text} | {verdict(row)} |"
            for row in result.rows
        ]
    before, _, rest = _PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    body = "\n".join(lines)
    _PAGE.write_text(f"{before}{_BEGIN}\n{body}\n{_END}{after}", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-web")
    parser.add_argument("--only", nargs="+", choices=MEASURES, help="these measurements alone")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the figures into docs/performance.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
