"""`make load SCENARIO=name`: a scenario with a private MariaDB and a private Redis; reports go to
artefacts/.

Three names are not files: `rolling-restart` and `redis-fails-twice`, with 2,000 agents on two
processes behind nginx; and `all`.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.kit.mariadb import MariaDB
from tests.kit.omni import COMMAND
from tests.kit.redis import Redis
from tests.tools.load.everything import (
    SCENARIOS,
    is_clean,
    play_all,
    write_table,
)
from tests.tools.load.rolling import Site, play, site

_ARTEFACTS = Path(__file__).parents[3] / "artefacts"


def main() -> int:
    name, *options = sys.argv[1:]
    _ARTEFACTS.mkdir(exist_ok=True)
    if name in _BEHIND_NGINX:
        return _behind_nginx(name, int(options[0]) if options else 2_000)
    if name == "all":
        return _all(options)
    if not (SCENARIOS / f"{name}.toml").exists():
        print(
            f"There is no scenario {name}; there are: "
            f"{', '.join(sorted(known.stem for known in SCENARIOS.glob('*.toml')))}"
        )
        return 2
    return _play(name, options)


def _play(name: str, options: Sequence[str]) -> int:
    mariadb, redis = (
        MariaDB(options={"innodb-buffer-pool-size": "512M", "innodb-log-file-size": "256M"}),
        Redis(),
    )
    try:
        mariadb.start()
        redis.start()
        reports = ["--json", str(_report(name)), "--html", str(_ARTEFACTS / f"load-{name}.html")]
        environment = os.environ | {
            "DATABASE_URL": mariadb.create_database(),
            "BROADCAST_URL": redis.url,
        }
        argv = [
            str(COMMAND),
            "load",
            str(SCENARIOS / f"{name}.toml"),
            "--start-server",
            *reports,
            *options,
        ]
        return subprocess.run(argv, env=environment, check=False).returncode
    finally:
        redis.close()
        mariadb.close()


def _all(options: list[str]) -> int:
    others = [option for option in options if option != "--write-docs"]

    def play(name: str) -> Path:
        _report(name).unlink(missing_ok=True)
        _play(name, others)
        return _report(name)

    played = play_all(play)
    if "--write-docs" in options:
        write_table(played, is_short="--short" in options)
    return 0 if is_clean(played) else 1


def _report(name: str) -> Path:
    return _ARTEFACTS / f"load-{name}.json"


def _behind_nginx(name: str, agents: int) -> int:
    with contextlib.ExitStack() as stack:
        mariadb, redis = MariaDB(), Redis()
        for part in (mariadb, redis):
            stack.callback(part.close)
            part.start()
        place = stack.enter_context(site(mariadb, redis, agents))
        options = {
            "companies": 20,
            "pollers": 20,
            "webhooks-per-second": 20,
            "replies-per-minute": 120,
            "ramp": 20,
            "duration": 1_800,
        }
        report = play(place, _BEHIND_NGINX[name], options)
        _report(name).write_text(json.dumps(report, indent=2))
    shown: tuple[str, ...] = (
        "clean",
        "invariants",
        "seconds",
        "written",
        "delivered",
        "delays",
        "connects",
    )
    shown += (
        "webhooksCounts",
        "welcomesCounts",
        "cutsCounts",
        "closesCounts",
        "failuresCounts",
        "resetsCounts",
    )
    for key in shown:
        print(f"{key:16} {report[key]}")
    return 0


_BEHIND_NGINX = {"rolling-restart": Site.restart_each, "redis-fails-twice": Site.fail_redis_twice}


if __name__ == "__main__":
    sys.exit(main())
