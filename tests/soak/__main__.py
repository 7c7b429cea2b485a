"""The command behind `make soak`."""

import argparse
import asyncio
import random
import sys

from tests.soak.run import Plan, soak


def main() -> int:
    """Prints a line for each fault and the table at the end; 1 when anything was lost, doubled or out of order."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long faults go on (default 30)")
    parser.add_argument("--agents", type=int, default=50, help="connected agents (default 50)")
    parser.add_argument("--seed", type=int, default=None, help="the same faults and traffic again")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    accounts = asyncio.run(soak(Plan(given.minutes, given.agents, seed), lambda line: print(line, flush=True)))
    width = max(len(name) for name, _ in accounts.rows)
    for name, value in accounts.rows:
        print(f"{name:<{width}}  {value}")
    for sentence in accounts.wrong:
        print(f"WRONG: {sentence}")
    print("nothing lost, nothing doubled, nothing out of order" if not accounts.wrong else "NOT as promised")
    return 1 if accounts.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
