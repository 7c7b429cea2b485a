"""Rows by name: a column fills its field wherever both stand."""

import msgspec
import pytest

from server.core.state.entities import Conversation, Message
from server.db.engine.row_mapper import RowMapper
from server.db.schema.columns import CONVERSATION_COLUMNS, MESSAGE_COLUMNS


class Person(msgspec.Struct, frozen=True):
    id: int
    name: str
    is_active: bool
    tags: tuple[str, ...] = ()
    note: str = "none"


_COLUMNS = {"tags": "tag_text", "is_active": "active", "name": "full_name", "id": "id"}


def test_a_column_fills_its_field_whatever_the_order_they_are_named_in() -> None:
    """What follows the columns is left alone, and a field without a column keeps its default."""
    people = RowMapper(
        Person, _COLUMNS, {"is_active": bool, "tags": lambda text: tuple(text.split())}
    )
    stored = {"id": 7, "full_name": "Ana", "active": 1, "tag_text": "a b"}
    row = [*(stored[column] for column in people.columns), "more"]
    assert people.text == "id, full_name, active, tag_text"
    assert people.read(row) == Person(7, "Ana", is_active=True, tags=("a", "b"))
    assert people.read_or_none(row) == people.read(row)
    assert people.read_or_none(None) is None


def test_what_is_absent_is_not_converted() -> None:
    people = RowMapper(
        Person, _COLUMNS, {"is_active": bool, "tags": str.split}, {"name": "", "tags": ("none",)}
    )
    assert people.read((7, None, None, None)) == Person(7, "", is_active=False, tags=("none",))
    assert people.read((7, "", 1, "")) == Person(7, "", is_active=True, tags=("none",))


@pytest.mark.parametrize(
    ("columns", "converts"),
    [
        ({**_COLUMNS, "age": "age"}, {}),
        ({"id": "id", "note": "note"}, {}),
        (_COLUMNS, {"note": str.lower}),
        (_COLUMNS, {"agee": int}),
    ],
)
def test_names_that_are_not_the_structs_are_refused(
    columns: dict[str, str], converts: dict[str, type]
) -> None:
    with pytest.raises(ValueError, match="Person"):
        RowMapper(Person, columns, converts)


@pytest.mark.parametrize(
    ("kind", "columns"), [(Conversation, CONVERSATION_COLUMNS), (Message, MESSAGE_COLUMNS)]
)
def test_each_field_of_the_state_has_a_column(
    kind: type[msgspec.Struct], columns: dict[str, str]
) -> None:
    assert list(columns) == list(kind.__struct_fields__)
