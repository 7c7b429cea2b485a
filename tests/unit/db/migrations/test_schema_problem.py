"""What is wrong with the tables is said in a sentence, also when they change while they are looked
at.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from server.db.migrations import schema_problem, upgrade
from server.problems import english
from tests.kit.mariadb import MariaDB

_TABLE = "social_messages"


def test_a_table_that_goes_while_it_is_looked_at_is_named(mariadb: MariaDB) -> None:
    url = mariadb.create_database()
    name = url.rsplit("/", 1)[1].split("?")[0]
    here, away = f"{name}.{_TABLE}", f"{name}.{_TABLE}_away"
    upgrade(url)
    with _at_statement(-1, lambda: None) as counted:
        assert schema_problem(url) is None
    for part in range(6):
        with _at_statement(
            counted[0] * part // 6, lambda: mariadb.sql(f"RENAME TABLE {here} TO {away}")
        ):
            problem = schema_problem(url)
        assert problem is None or _TABLE in english(problem)
        mariadb.sql(f"RENAME TABLE {away} TO {here}")


@contextmanager
def _at_statement(number: int, act: Any) -> Iterator[list[int]]:
    """Call `act` before that statement of any engine; the list holds how many there were."""
    count = [0]

    def before(*_: object) -> None:
        if count[0] == number:
            act()
        count[0] += 1

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield count
    finally:
        event.remove(Engine, "before_cursor_execute", before)
