"""A company that another client of the database holds: said, and taken in as soon as it is free."""

import contextlib
from pathlib import Path

import httpx
import pymysql

from tests.faults.cluster import COMPANY, Cluster, running
from tests.faults.server_reports import wait_problem, wait_ready
from tests.faults.webhook_flow import Flow
from tests.kit.eventually import eventually
from tests.kit.mariadb import PASSWORD, USER, MariaDB
from tests.kit.redis import Redis


async def test_a_company_that_is_held_is_named(
    tmp_path: Path, mariadb: MariaDB, redis_server: Redis
) -> None:
    """`/readyz` says that messages wait, and for whom, though the database answers; afterwards all
    is taken in.
    """
    cluster = Cluster(tmp_path, mariadb, redis_server)
    async with (
        running(cluster, 1) as [server],
        httpx.AsyncClient(trust_env=False, timeout=30.0) as http,
    ):
        flow = Flow([server])
        assert (await flow.post(http, 1)).status == 200
        await eventually(lambda: cluster.head() > 0, 30.0)
        console = pymysql.connect(
            host="127.0.0.1",
            port=mariadb.port,
            user=USER,
            password=PASSWORD,
            database=cluster.database_name,
        )
        with contextlib.closing(console):
            with console.cursor() as cursor:
                cursor.execute("SET SESSION idle_transaction_timeout = 0")
                cursor.execute("BEGIN")
                cursor.execute(
                    "SELECT head FROM omni_inbox_streams WHERE company_id = %s FOR UPDATE",
                    (COMPANY,),
                )
            assert (await flow.post(http, 1)).status == 200
            report = await wait_problem(server, "has waited for", 60.0)
            assert report["status"] == "degraded"
            await wait_problem(server, f"stream of company {COMPANY}", 30.0)
            console.rollback()
        await eventually(lambda: cluster.states()["received"] == 0, 60.0)
        await wait_ready(server, 60.0, ignoring="database is slow")
