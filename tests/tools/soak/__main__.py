"""The command behind `make soak`."""

import argparse
import asyncio
import json
import random
import signal
import sys

from tests.tools.soak.run import Plan, soak


def main() -> int:
    """Prints a line for each fault and the table at the end; 1 when a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="how long faults go on (default 30)"
    )
    parser.add_argument(
        "--agents", type=int, default=50, help="connected agents of the busy company (default 50)"
    )
    parser.add_argument("--seed", type=int, default=None, help="the same faults and traffic again")
    parser.add_argument(
        "--pace", type=float, default=1.0, help="how long faults last, as a factor (default 1)"
    )
    parser.add_argument(
        "--json", action="store_true", help="the result as JSON; progress goes to the error output"
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=10.0,
        help="messages a second of the busy company (default 10)",
    )
    parser.add_argument(
        "--crm",
        type=float,
        default=20.0,
        help="rows a second that the CRM writes itself (default 20; 0: none)",
    )
    given = parser.parse_args()
    # told to end, it leaves no servers behind, as with Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    progress = sys.stderr if given.json else sys.stdout
    print(f"seed {seed}", file=progress, flush=True)
    rates = ((given.rate, given.rate / 10), (1.0, 0.1), (0.5, 0.1))
    plan = Plan(given.minutes, given.agents, seed, rates, given.crm, pace=given.pace)
    accounts = asyncio.run(soak(plan, lambda line: print(line, file=progress, flush=True)))
    if given.json:
        print(
            json.dumps(
                {"seed": seed, "rows": dict(accounts.rows), "wrong": accounts.wrong},
                ensure_ascii=False,
            )
        )
        return 1 if accounts.wrong else 0
    width = max(len(name) for name, _ in accounts.rows)
    for name, value in accounts.rows:
        print(f"{name:<{width}}  {value}")
    for sentence in accounts.wrong:
        print(f"WRONG: {sentence}")
    print(
        "NOT as promised"
        if accounts.wrong
        else "nothing lost, doubled or out of order, and no company stood still"
    )
    return 1 if accounts.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
