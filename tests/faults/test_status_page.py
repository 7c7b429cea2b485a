"""What an administrator finds from the status page alone, while parts are away: the page opens, and
names the part.
"""

from collections.abc import Awaitable, Callable

import anyio
import httpx

from tests.faults.cluster import COMPANY, Cluster, clustered
from tests.integration.test_admin_pages import text_of
from tests.kit.eventually import eventually


def page_that_says(http: httpx.AsyncClient, *sentences: str) -> Callable[[], Awaitable[str | None]]:
    async def look() -> str | None:
        answer = await http.get("/admin/status")
        text = text_of(answer)
        assert answer.status_code == 200, text
        assert all(sentence in text for sentence in sentences), text
        return text

    return look


async def test_the_page_names_what_is_away_and_opens_all_the_same(cluster: Cluster) -> None:
    """Redis, then MariaDB as well; in Bengali too; well again when they are back."""
    async with clustered(cluster):
        await cluster.prepare()
        server = cluster.add_server()
        await cluster.start(server)
        token = server.token(COMPANY, "chief", role="admin", name="Chief")
        async with server.client(token, timeout=30.0) as http:
            await eventually(
                page_that_says(
                    http, "The bus answers.", "The database answers.", "The spool is empty."
                ),
                limit=15,
            )
            await anyio.to_thread.run_sync(cluster.redis.kill)
            await eventually(page_that_says(http, "The bus does not answer;"), limit=20)
            await anyio.to_thread.run_sync(cluster.mariadb.kill)
            text = await eventually(
                page_that_says(http, "The bus does not answer;", "The database cannot be reached;"),
                limit=20,
            )
            assert "Deliveries that wait —" in text
            http.headers["Accept-Language"] = "bn"
            await eventually(
                page_that_says(http, "ডেটাবেসে পৌঁছানো যাচ্ছে না;", "বাস (Redis) উত্তর দিচ্ছে না;"), limit=20
            )
            http.headers["Accept-Language"] = "en"
            await anyio.to_thread.run_sync(cluster.mariadb.ensure_running)
            await anyio.to_thread.run_sync(cluster.redis.ensure_running)
            await eventually(
                page_that_says(http, "The bus answers.", "The database answers."), limit=30
            )
