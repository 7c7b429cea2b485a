"""`python -m tests.tools.trials`: makes each fault on a server with its usual settings, prints what
each place said and after how many seconds.

`--write-docs` puts the table into docs/operation.md; `--only redis` makes one of them.
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.kit.mariadb import MariaDB
from tests.kit.redis import Redis
from tests.tools.trials.faults import FAULTS, Fault, Ground
from tests.tools.trials.places import Said

_LIMIT_SECONDS = 120.0
_FOUND_SECONDS = 60.0
_PAGE = Path(__file__).parents[3] / "docs" / "operation.md"
_BEGIN, _END = "<!-- trials: written by python -m tests.tools.trials -->", "<!-- trials: end -->"
_PLACES = {
    "readyz": "`/readyz`",
    "log": "the log",
    "status": "the status page",
    "doctor": "`omni-inbox doctor`",
}
_TEXT_MOST = 160


def main() -> int:
    """1 when something was found nowhere within a minute."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.trials")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the table into docs/operation.md"
    )
    parser.add_argument("--only", choices=sorted(FAULTS), help="one of them")
    given = parser.parse_args()
    names = [given.only] if given.only else list(FAULTS)
    with contextlib.ExitStack() as stack:
        mariadb, redis = MariaDB(), Redis()
        for part in (mariadb, redis):
            stack.callback(part.close)
            part.start()
        ground = Ground(mariadb, redis, {})
        told = {name: asyncio.run(_tried(FAULTS[name], ground)) for name in names}
    lines = [line for name in names for line in _rows(FAULTS[name], told[name])]
    print("\n".join(lines))
    if given.write_docs:
        _write(lines)
    soonest = [
        min(
            (said.seconds for said in one.values() if said.seconds is not None),
            default=_LIMIT_SECONDS,
        )
        for one in told.values()
    ]
    return 0 if max(soonest) < _FOUND_SECONDS else 1


async def _tried(fault: Fault, ground: Ground) -> dict[str, Said]:
    async with fault.made(ground) as (places, broken), broken:
        return await places.find(fault.wanted, _LIMIT_SECONDS)


def _rows(fault: Fault, told: Mapping[str, Said]) -> list[str]:
    rows = []
    for place, title in _PLACES.items():
        said = told.get(place)
        if said is None:
            text, after = "(it cannot know)", ""
        else:
            shown = said.text if len(said.text) <= _TEXT_MOST else said.text[: _TEXT_MOST - 1] + "…"
            text = shown.replace("|", "\\|").replace("<", "&lt;")
            after = (
                "never"
                if said.seconds is None
                else f"{said.seconds:.0f} s"
                if said.seconds >= 1
                else "at once"
            )
        rows.append(f"| {fault.title if place == 'readyz' else ''} | {title} | {after} | {text} |")
    return rows


def _write(lines: list[str]) -> None:
    before, begin, rest = _PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{_PAGE} has lost the marks between which the trials stand")
    head = ["| what happened | place | said after | what |", "| --- | --- | ---: | --- |"]
    when = (
        f"Tried {dt.datetime.now(dt.UTC):%Y-%m-%d} with `python -m tests.tools.trials "
        "--write-docs`, on two cores that others used as well."
    )
    _PAGE.write_text(
        "\n".join([f"{before}{_BEGIN}", when, "", *head, *lines, ""]) + f"{_END}{after}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main())
