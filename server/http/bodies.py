"""Bodies of the API's calls, as the structs that `/openapi.json` is made of."""

import functools
import operator
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from starlette.requests import Request

from server.errors import BadRequest
from server.http.responses import MAX_BODY_BYTES, read_json
from server.problems import Problem, Text

T = TypeVar("T", bound=msgspec.Struct)
_CODES = {
    bool: "field.boolean",
    int: "field.number",
    str: "field.text",
    dict: "field.object",
}


async def read_struct(request: Request, kind: type[T], max_bytes: int = MAX_BODY_BYTES) -> T:
    """Read the body as `kind`. Raises BadRequest with a sentence about the first field that is
    wrong, and TooLarge.
    """
    return to_struct(await read_json(request, max_bytes), kind)


def to_struct(body: dict[str, Any], kind: type[T]) -> T:
    """Check a decoded body against `kind`, and return it as that struct. Fields that `kind` does
    not have are ignored. Raises BadRequest with a sentence about the first field that is wrong.

    Types, words to choose from and the range of numbers are judged here. How long a text may be is
    judged by the rule of its field, whose sentence says more.
    """
    values = {}
    for name, (key, hint, is_required, refusal) in _fields(kind).items():
        if key not in body:
            if is_required:
                raise BadRequest(refusal)
            continue
        try:
            values[name] = msgspec.convert(body[key], hint)
        except msgspec.ValidationError:
            raise BadRequest(refusal) from None
    return kind(**values)


def not_among(key: str, choices: Sequence[str]) -> Problem:
    """Say that a field or a part of the query is none of a few words."""
    first, *rest = choices
    either: Text = first
    for one in rest:
        either = Problem.of("noun.either", first=either, second=one)
    return Problem.of("field.choice", field=key, choices=either)


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any, bool, Problem]]:
    """Return by a field's name: its name in JSON, its type, whether it is required, and the problem
    of anything else.
    """
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.name: (
            field.encode_name,
            _without_lengths(hints[field.name]),
            field.required,
            _refusal(field.encode_name, hints[field.name]),
        )
        for field in msgspec.structs.fields(kind)
    }


def _without_lengths(hint: Any) -> Any:
    """Return the type, with no bounds of texts, and without the mark of an absent field."""
    if get_origin(hint) in (Union, UnionType):
        return functools.reduce(operator.or_, map(_without_lengths, _present(hint)))
    if get_origin(hint) is Annotated and get_args(hint)[0] is str:
        return str
    return hint


def _refusal(key: str, hint: Any) -> Problem:
    """Return the problem whose code is the field's own `Meta(extra={"refusal": ...})`, or that of
    its type.
    """
    [kind] = [one for one in _present(hint) if one is not type(None)]
    if get_origin(kind) is Annotated:
        kind, *metas = get_args(kind)
        for meta in metas:
            if isinstance(meta, msgspec.Meta) and meta.extra and "refusal" in meta.extra:
                return Problem(meta.extra["refusal"])
    if get_origin(kind) is Literal:
        return not_among(key, get_args(kind))
    return Problem(_CODES[get_origin(kind) or kind], {"field": key})


def _present(hint: Any) -> list[Any]:
    """Return the types that a field may have where it is present."""
    is_union = get_origin(hint) in (Union, UnionType)
    return [one for one in (get_args(hint) if is_union else [hint]) if one is not msgspec.UnsetType]
