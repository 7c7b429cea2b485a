"""Rows by name: one list says which column fills which field, so that adding a column cannot shift
another one.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
Convert = Callable[[Any], Any]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class RowMapper(Generic[T]):
    """Reads rows of one query shape into a struct.

    `columns`: the column of each field; fields without one keep their default, and come last in the
    struct. `converts`: what makes a field's value of its column's, where it is not taken as it is.
    `absent`: a field's value where its column is NULL or empty; then nothing is converted. `read`
    is made of the names once, as a row is read hundreds of times in a list.
    """

    def __init__(
        self,
        kind: type[T],
        columns: Mapping[str, str],
        converts: Mapping[str, Convert] = _NOTHING,
        absent: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Raises ValueError where the names are not the struct's."""
        mapped = kind.__struct_fields__[: len(columns)]
        unknown = (converts.keys() | absent.keys()) - columns.keys()
        if set(mapped) != columns.keys() or unknown:
            raise ValueError(f"{kind.__name__}: {sorted(columns.keys() ^ set(mapped) | unknown)}")
        self.columns: Sequence[str] = tuple(columns[field] for field in mapped)
        self.text = ", ".join(self.columns)  # for SELECT
        # the struct of a row that begins with `columns`; more may follow them
        self.read: Callable[[Sequence[Any]], T] = _compiled(kind, mapped, converts, absent)

    def read_or_none(self, row: Sequence[Any] | None) -> T | None:
        """The same for `fetch_one`."""
        return None if row is None else self.read(row)


def _compiled(
    kind: type[T], fields: Sequence[str], converts: Mapping[str, Convert], absent: Mapping[str, Any]
) -> Callable[[Sequence[Any]], T]:
    """`lambda row: kind(row[0], convert_1(row[1]), ...)`. The names are a struct's, and numbers."""
    values = []
    for place, field in enumerate(fields):
        value = f"row[{place}]"
        if field in converts:
            value = f"convert_{field}({value})"
        if field in absent:
            value = f"({value} if row[{place}] else absent_{field})"
        values.append(value)
    names: dict[str, Any] = {"kind": kind, "__builtins__": {}}
    names |= {f"convert_{field}": convert for field, convert in converts.items()}
    names |= {f"absent_{field}": value for field, value in absent.items()}
    read: Callable[[Sequence[Any]], T] = eval(  # noqa: S307 - of our own names alone
        f"lambda row: kind({', '.join(values)})", names
    )
    return read
