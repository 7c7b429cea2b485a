"""A Redis user who may publish and subscribe and nothing else is enough, and the doctor does not
call it a failure.
"""

import json
from pathlib import Path

from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.omni import Omni
from tests.kit.redis import Redis
from tests.kit.servers import QUICK

_PASSWORD = "escaped#by%23sign"


async def test_a_user_who_may_only_publish_and_subscribe(
    tmp_path: Path, mariadb: MariaDB, redis_server: Redis
) -> None:
    """`/readyz` is ready; INFO and TIME are a warning of the doctor. Its password has signs that an
    address must escape.
    """
    rights = (
        "resetchannels",
        "&*",
        "-@all",
        "+publish",
        "+subscribe",
        "+unsubscribe",
        "+psubscribe",
        "+ping",
    )
    redis_server.command("ACL", "SETUSER", "bus", "on", f">{_PASSWORD}", *rights)
    url = f"redis://bus:{_PASSWORD.replace('%', '%25').replace('#', '%23')}@127.0.0.1:{redis_server.port}/0"  # noqa: E501
    server = Omni(tmp_path, database_url=mariadb.create_database(), broadcast_url=url, env=QUICK)
    server.prepare()
    server.start()
    try:
        done = server.cli("doctor", "--json")
        bus = [line for line in map(json.loads, done.stdout.splitlines()) if line["name"] == "bus"]
        assert [(one["state"], "INFO and TIME" in one["text"]) for one in bus] == [
            ("warning", True)
        ], done.stdout

        async def is_ready() -> bool:
            async with server.client() as http:
                report = (await http.get("/readyz")).json()
            assert report["status"] == "ready", report
            return True

        await eventually(is_ready, limit=30)
        assert _PASSWORD not in server.log
    finally:
        server.kill9()
        redis_server.command("ACL", "DELUSER", "bus")


def test_an_address_that_is_cut_is_one_sentence(tmp_path: Path) -> None:
    """At the start as for every command, without a traceback and without a part of the password."""
    for name in ("DATABASE_URL", "BROADCAST_URL"):
        url = (
            f"{'mysql' if name == 'DATABASE_URL' else 'redis'}://bus:a#long/password@127.0.0.1:1/x"
        )
        server = Omni(tmp_path, database_url=f"sqlite:///{tmp_path}/omni.db", env={name: url})
        for command in (("db", "upgrade"), ("serve",), ("doctor",)):
            done = server.cli(*command)
            said = done.stdout + done.stderr
            assert done.returncode != 0
            assert f"{name} cannot be read as an address" in said, said
            assert "Traceback" not in said
            assert "long" not in said
            assert "password must be escaped" in said
