"""The searched form of rows that lack it: filled by the upgrade, in pages, wherever it was
interrupted.
"""

from contextlib import suppress

import pytest
from sqlalchemy import text

from server.core.state.search_text import search_form
from server.db.engine.database import Database
from server.db.migrations import fill_search_texts as upgrading
from server.db.migrations import upgrade
from server.db.migrations.upgrade_connection import connected
from server.db.state import search_texts
from server.operation.search_text_filler import SearchTexts

_COUNT = 450
_CONVERSATION = (
    "INSERT INTO social_conversations (id, company_id, platform, external_user_name, omni_contact) "
    """VALUES (:id, 1, 'facebook', :name, '{"id"\\:1,"email"\\:"A@b.c","phone"\\:null,"identifier"\\:null}')"""  # noqa: E501
)
_MESSAGE = (
    "INSERT INTO social_messages (id, conversation_id, sender_type, content, omni_is_deleted) "
    "VALUES (:id, 1, 'customer', :content, :gone)"
)


class Interrupted(Exception):
    """Stands for kill -9 between two statements."""


def _fill_tables(url: str) -> None:
    with connected(url) as connection:
        for n in range(1, 4):
            connection.execute(text(_CONVERSATION), {"id": n, "name": f"Name É{n}"})
        for n in range(1, _COUNT + 1):
            content = (
                None if n % 50 == 0 else "x" * 200_000 if n % 150 == 1 else f"\u09b9\u09df {n}"
            )
            connection.execute(text(_MESSAGE), {"id": n, "content": content, "gone": n % 7 == 0})


def _unfilled(url: str) -> list[int]:
    with connected(url) as connection:
        return [
            connection.execute(
                text(f"SELECT COUNT(*) FROM {table} WHERE omni_search_text IS NULL")
            ).scalar_one()
            for table in ("social_conversations", "social_messages")
        ]


def test_an_interrupted_upgrade_goes_on(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after each statement in turn; at the end every row has its form, and another run finds
    nothing to do.
    """
    upgrade(database_url)
    _fill_tables(database_url)
    assert _unfilled(database_url) == [3, _COUNT]
    original, lives = search_texts.update_of, 0

    def dying(*arguments: object) -> tuple[str, dict[str, object]]:
        nonlocal lives
        lives -= 1
        if lives < 0:
            raise Interrupted
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(upgrading, "update_of", dying)
    for lives in (0, 1, 2, 1):  # noqa: B007 - the number is read by `dying`
        with suppress(Interrupted):
            upgrade(database_url)
    left = _unfilled(database_url)
    is_sqlite = database_url.startswith("sqlite")  # there an upgrade is one transaction
    assert left == [3, _COUNT] if is_sqlite else left[0] == 0 < left[1] < _COUNT
    monkeypatch.setattr(upgrading, "update_of", original)
    conversations = ["made 3 conversations ready for search"] if is_sqlite else []
    told = [line for line in upgrade(database_url) if "search" in line]
    assert told == [*conversations, f"made {left[1]} messages ready for search"]
    assert upgrade(database_url) == []
    with connected(database_url) as connection:
        for content, is_deleted, form in connection.execute(
            text("SELECT content, omni_is_deleted, omni_search_text FROM social_messages")
        ):
            assert form == ("" if is_deleted else search_form(content or ""))
        names = (
            connection.execute(
                text("SELECT omni_search_text FROM social_conversations ORDER BY id")
            )
            .scalars()
            .all()
        )
    assert names == [f"name e{n}\na@b.c" for n in range(1, 4)]


async def test_a_row_that_cannot_be_filled_is_left_out_alone(database_url: str) -> None:
    """A trigger of the CRM's refuses it: all other rows of both tables are filled, each round."""
    upgrade(database_url)
    _fill_tables(database_url)
    refusal = (
        "BEGIN SELECT RAISE(FAIL, 'not now'); END"
        if database_url.startswith("sqlite")
        else "IF NEW.id = 2 THEN SIGNAL SQLSTATE '45000'; END IF"
    )
    when = "WHEN NEW.id = 2 " if database_url.startswith("sqlite") else ""
    with connected(database_url) as connection:
        for table in ("social_conversations", "social_messages"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER odd_{table} BEFORE UPDATE ON {table} FOR EACH ROW {when}{refusal}"
            )
    async with Database(database_url, wait_seconds=30) as database:
        filler = SearchTexts(database)
        for _ in range(2):
            await filler.fill_all()
            assert _unfilled(database_url) == [1, 1]
