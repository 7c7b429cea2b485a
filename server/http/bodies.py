"""Bodies of the API's calls, as the structs that `/openapi.json` is made of."""

import functools
import operator
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from starlette.requests import Request

from server.errors import BadRequest
from server.http.responses import MAX_BODY_BYTES, read_json

T = TypeVar("T", bound=msgspec.Struct)
_KINDS = {
    bool: "true or false",
    int: "a whole number above 0",
    str: "text",
    dict: "an object",
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


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any, bool, str]]:
    """By a field's name: its name in JSON, its type, whether it is required, and the sentence that
    refuses anything else.
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
    """The type, with no bounds of texts, and without the mark of an absent field."""
    if get_origin(hint) in (Union, UnionType):
        return functools.reduce(operator.or_, map(_without_lengths, _present(hint)))
    if get_origin(hint) is Annotated and get_args(hint)[0] is str:
        return str
    return hint


def _refusal(key: str, hint: Any) -> str:
    """The sentence of the field's own `Meta(extra={"refusal": ...})`, or what its type says."""
    [kind] = [one for one in _present(hint) if one is not type(None)]
    if get_origin(kind) is Annotated:
        kind, *metas = get_args(kind)
        for meta in metas:
            if isinstance(meta, msgspec.Meta) and meta.extra and "refusal" in meta.extra:
                return str(meta.extra["refusal"])
    if get_origin(kind) is Literal:
        return f"{key} must be {' or '.join(get_args(kind))}"
    return f"{key} must be {_KINDS[get_origin(kind) or kind]}"


def _present(hint: Any) -> list[Any]:
    """The types that a field may have where it is present."""
    is_union = get_origin(hint) in (Union, UnionType)
    return [one for one in (get_args(hint) if is_union else [hint]) if one is not msgspec.UnsetType]
