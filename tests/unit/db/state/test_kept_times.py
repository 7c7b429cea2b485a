"""The CRM's `updated_at` is often ON UPDATE CURRENT_TIMESTAMP on MySQL, and agents are shown it:
what is written without an event names it, and leaves it as it was.
"""

from typing import Any

import pytest

from server.db.state import eventlog, history, inbox_names


class _Statements:
    def __init__(self) -> None:
        self.said: list[str] = []

    async def execute(self, statement: str, values: object = None) -> int:
        self.said.append(statement)
        return 1


async def test_what_writes_no_event_keeps_the_time_of_the_last_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def locked(*_: object) -> dict[int, object]:
        return {}

    monkeypatch.setattr(eventlog, "lock_streams", locked)
    connection: Any = _Statements()
    await inbox_names.write_name(connection, 1, [7, 8], "Dhaka")
    await history.mark_verified(connection, 1, 7, 1)
    assert len(connection.said) == 2
    assert all("updated_at = updated_at" in statement for statement in connection.said)
