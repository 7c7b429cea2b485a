"""`make load SCENARIO=name`: a scenario with a private MariaDB and a private Redis; reports go to artefacts/."""

import os
import subprocess
import sys
from pathlib import Path

from tests.kit.mariadb import MariaDB
from tests.kit.omni import COMMAND
from tests.kit.redis import Redis

_SCENARIOS = Path(__file__).parent / "scenarios"
_ARTEFACTS = Path(__file__).parents[2] / "artefacts"


def main() -> int:
    name, *options = sys.argv[1:]
    path = _SCENARIOS / f"{name}.toml"
    if not path.exists():
        print(f"There is no scenario {name}; there are: {', '.join(sorted(known.stem for known in _SCENARIOS.glob('*.toml')))}")
        return 2
    _ARTEFACTS.mkdir(exist_ok=True)
    mariadb, redis = MariaDB(options={"innodb-buffer-pool-size": "512M", "innodb-log-file-size": "256M"}), Redis()
    try:
        mariadb.start()
        redis.start()
        reports = ["--json", str(_ARTEFACTS / f"load-{name}.json"), "--html", str(_ARTEFACTS / f"load-{name}.html")]
        environment = os.environ | {"DATABASE_URL": mariadb.create_database(), "BROADCAST_URL": redis.url}
        return subprocess.run(
            [str(COMMAND), "load", str(path), "--start-server", *reports, *options], env=environment, check=False
        ).returncode
    finally:
        redis.close()
        mariadb.close()


if __name__ == "__main__":
    sys.exit(main())
