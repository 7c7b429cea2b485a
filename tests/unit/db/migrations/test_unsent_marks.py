"""Rows that are older than the mark of a reply that was not sent get it with the upgrade."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from server.db.migrations import unsent_marks, upgrade
from tests.kit.mariadb import MariaDB

_UNSENT = (
    '{"content":"Hello","senderType":"customer","rank":3,"unsent":{"messageId":7,"atUs":null,'
    '"code":"failed"}}'
)
_SENT = '{"content":"Hello","senderType":"customer","rank":3}'
_WRITTEN = r'{"content":"{\"unsent\":{\"messageId\":7}}","senderType":"customer","rank":3}'


@pytest.fixture(params=["sqlite", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of today's shape."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path / 'omni.db'}"
    else:
        mariadb: MariaDB = request.getfixturevalue("shared_mariadb")
        mariadb.ensure_running()
        found = mariadb.create_database()
    upgrade(found)
    return found


def test_what_was_not_sent_is_marked_once(url: str) -> None:
    """By the stored JSON; what somebody has written is no mark."""
    engine = create_engine(url.replace("mysql://", "mysql+pymysql://"))
    with engine.begin() as connection:
        for number, preview in enumerate((_UNSENT, _SENT, _WRITTEN, None), start=1):
            connection.execute(
                text(
                    "INSERT INTO social_conversations (id, company_id, platform, omni_preview) "
                    "VALUES (:id, 1, 'chatwoot', :preview)"
                ),
                {"id": number, "preview": preview},
            )
        assert unsent_marks.fill(connection) == [
            "marked 1 conversations with a reply that was not sent"
        ]
        marked = connection.execute(
            text("SELECT id FROM social_conversations WHERE omni_is_unsent = 1")
        ).all()
        assert [tuple(row) for row in marked] == [(1,)]
        assert unsent_marks.fill(connection) == []
    engine.dispose()
