"""A CRM's Prisma client writes: what it does in one transaction or in many is at the agents, each
row once.

The client itself is 300 MB, so `make prisma` installs it for who wants it; what it sent then is
played by the other test.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import make_url

from tests.kit.client_model import Json
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.mariadb import MariaDB
from tests.kit.redis import Redis
from tests.kit.servers import Servers

_FOLDER = Path(__file__).parents[1] / "prisma"
# what Prisma 7.10 with its MariaDB adapter sent for `writes.mjs`, line by line; {c} company, {i}
# and {g} ids
_SENT = (
    "BEGIN",
    "INSERT INTO `social_conversations` "
    "(`company_id`,`platform`,`external_user_id`,`external_user_name`,`status`,"
    "`last_message_at`,`created_at`,`updated_at`) VALUES "
    "({c},'facebook','created','Created','Open',{t},{t},{t})",
    (
        "INSERT INTO `social_messages` (`conversation_id`,`sender_type`,`content`,`created_at`) "
        "VALUES ({i},'customer','nested',{t})"
    ),
    "COMMIT",
    "INSERT INTO `social_messages` (`conversation_id`,`sender_type`,`content`,`created_at`) "
    "VALUES ({i},'customer','second',{t}), ({i},'customer','third',{t})",
    "BEGIN",
    "UPDATE `social_conversations` SET `last_message_at` = {t}, `status` = 'Closed', "
    "`updated_at` = {t} "
    "WHERE (`social_conversations`.`id` = {i} AND 1=1)",
    "COMMIT",
    "BEGIN",
    "INSERT INTO `social_conversations` "
    "(`company_id`,`platform`,`external_user_id`,`external_user_name`,`status`,"
    "`last_message_at`,`created_at`,`updated_at`) VALUES "
    "({c},'facebook','gone','Gone','Open',{t},{t},{t})",
    "COMMIT",
    "BEGIN",
    "UPDATE `social_messages` SET `content` = 'third, corrected' "
    "WHERE (`social_messages`.`conversation_id` = {i} AND `social_messages`.`content` = 'third')",
    "DELETE FROM `social_conversations` WHERE (`social_conversations`.`id` = {g} AND 1=1)",
    "COMMIT",
)


@pytest.fixture
async def company(
    servers: Servers, mariadb: MariaDB, redis_server: Redis
) -> AsyncIterator[Company]:
    async with Company(servers.get("production", mariadb, redis_server)) as company:
        yield company


@pytest.mark.skipif(
    not (_FOLDER / "generated").exists(), reason="`make prisma` has not installed Prisma"
)
async def test_a_prisma_client_writes(company: Company) -> None:
    """The real one."""
    node = shutil.which("node")
    assert node is not None
    command = [node, "writes.mjs", company.omni.env["DATABASE_URL"], str(company.id)]
    await _is_at_the_agents(
        company,
        lambda: json.loads(
            subprocess.run(command, cwd=_FOLDER, capture_output=True, check=True).stdout
        ),
    )


async def test_what_prisma_sends_is_at_the_agents(company: Company) -> None:
    """Its statements, from a connection of the CRM."""
    await _is_at_the_agents(company, lambda: _send(company))


def _send(company: Company) -> Json:
    at = make_url(company.omni.env["DATABASE_URL"])
    connection = pymysql.connect(
        host=at.host,
        port=at.port or 3306,
        user=at.username,
        password=at.password or "",
        database=at.database,
        autocommit=True,
    )
    ids: dict[str, int] = {"i": 0, "g": 0}
    with connection, connection.cursor() as cursor:
        for statement in _SENT:
            cursor.execute(statement.format(c=company.id, t="UTC_TIMESTAMP(3)", **ids))
            if "'created'" in statement or "'gone'" in statement:
                ids["i" if "'created'" in statement else "g"] = cursor.lastrowid
    return {"id": ids["i"], "gone": ids["g"]}


async def _is_at_the_agents(company: Company, write: Any) -> None:
    async with company.socket() as agent:
        written = await asyncio.to_thread(write)
        await eventually(lambda: _is_as_written(company, written))
        # as one was deleted
        await agent.wait_until(lambda: any(frame["type"] == "reset" for frame in agent.frames))
    told = [
        event.data["message"]["content"]
        for event in agent.events
        if event.kind == "message.created"
    ]
    assert len(told) == len(set(told))


async def _is_as_written(company: Company, written: Json) -> bool:
    thread = await company.get(f"/api/conversations/{written['id']}/messages")
    assert [message["content"] for message in thread["messages"]] == [
        "nested",
        "second",
        "third, corrected",
    ]
    assert (thread["status"], thread["inboundCount"], (thread["preview"] or {}).get("content")) == (
        "Closed",
        3,
        "third, corrected",
    )
    assert [row["id"] for row in await company.get("/api/conversations")] == [written["id"]]
    return True
