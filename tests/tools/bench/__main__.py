"""`make bench`: measures, prints ratios, and with `--write-docs` writes them into
docs/performance.md.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.tools.bench import machine
from tests.tools.bench.acknowledge import acknowledge
from tests.tools.bench.crm_rows import crm_rows
from tests.tools.bench.fanout import burst, paced
from tests.tools.bench.ingest import ingest
from tests.tools.bench.memory import idle_memory
from tests.tools.bench.poll import poll
from tests.tools.bench.report import write_report
from tests.tools.bench.results import (
    Result,
    as_json,
    figure,
    verdict,
)
from tests.tools.bench.scale import scale
from tests.tools.bench.servers import Bench
from tests.tools.bench.whole_way import reconnect, whole_way

BENCHES: dict[str, Callable[[Bench], Result]] = {
    "fanout_paced": paced,
    "fanout_burst": burst,
    "idle_memory": idle_memory,
    "acknowledge": acknowledge,
    "ingest": ingest,
    "poll": poll,
    "whole_way": whole_way,
    "reconnect": reconnect,
    "scale": scale,
    "crm_rows": crm_rows,
}
_BUSY = 0.85  # a load process busier than this may have been what was measured


def main() -> int:
    options = _options()
    console = Console(stderr=False)
    results = []
    failures = 0
    with Bench(
        is_quick=options.quick, say=lambda text: console.print(f"  {text}", style="dim")
    ) as bench:
        for name in options.only or BENCHES:
            console.print(f"[bold]{name}[/bold]")
            started = time.monotonic()
            try:
                result = BENCHES[name](bench)
            except (AssertionError, TimeoutError, OSError) as error:
                failures += 1
                console.print(f"  [red]failed:[/red] {error}", markup=True)
                continue
            results.append(result)
            console.print(_table(result))
            console.print(f"  {time.monotonic() - started:.0f} s", style="dim")
    about = machine.describe()
    if options.json:
        options.json.write_text(
            json.dumps(as_json(results, about), indent=1, ensure_ascii=False), encoding="utf-8"
        )
    if options.write_docs:
        write_report(results, about, is_quick=options.quick)
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="fewer sockets, shorter slices: to see that it works"
    )
    parser.add_argument(
        "--only", nargs="+", choices=list(BENCHES), metavar="NAME", help=", ".join(BENCHES)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--write-docs", action="store_true", help="renew docs/performance.md and its plots"
    )
    return parser.parse_args()


def _table(result: Result) -> Table:
    table = Table(
        title=result.what,
        title_justify="left",
        caption="\n".join(result.notes),
        caption_justify="left",
    )
    for name in ("figure", "value", "against", "goal", ""):
        table.add_column(name, justify="right" if name == "value" else "left")
    for row in result.rows:
        table.add_row(
            row.name, f"{figure(row.value)} {row.unit}", row.baseline, row.goal_text, verdict(row)
        )
    busy = " (the load may have been the limit)" if result.load_cpu > _BUSY else ""
    table.add_row("CPU of the load client", f"{result.load_cpu:.0%}", "", "", busy)
    return table


if __name__ == "__main__":
    sys.exit(main())
