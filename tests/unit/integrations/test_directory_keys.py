"""Keys in a webhook's address, for Chatwoots that cannot sign."""

import pytest

from server.errors import BadSignature, PayloadError
from server.integrations.directory import (
    KEY_HEADER,
    key_of,
)
from tests.unit.integrations.directories import (
    NOW_US,
    SECRET,
    make_directory,
    make_integration,
    route,
    signed_headers,
)


def _keyed(key: str) -> dict[str, str]:
    return {KEY_HEADER: key_of(f"v=1&key={key}".encode()) or ""}


def test_a_key_in_the_address_tells_whose_an_unsigned_delivery_is() -> None:
    """Two old Chatwoots with the same numbers; without a key, with another's, for another account:
    refused.
    """
    first, second = (
        make_integration(n, n, unsigned="keyed", webhook_key=f"key-{n}") for n in (1, 2)
    )
    directory = make_directory(first, second)
    assert [route(directory, _keyed(f"key-{n}")).id for n in (1, 2)] == [1, 2]
    # it signs since its update; nobody has fetched the secret yet
    assert route(directory, _keyed("key-1") | signed_headers("unknown")).id == 1
    for headers, account_id in (
        ({}, 1),
        (_keyed("key-3"), 1),
        (_keyed(""), 1),
        (_keyed("key-1"), 2),
    ):
        with pytest.raises(BadSignature):
            route(directory, headers, account_id=account_id)
    with pytest.raises(PayloadError, match="no integration for account 1, inbox 13"):
        route(directory, _keyed("key-1"), inbox_id=13)


@pytest.mark.parametrize(
    "case", ["refused", "a secret is known", "signatures are required", "not proved"]
)
def test_a_key_opens_nothing_where_it_should_not(case: str) -> None:
    """The switch was turned back, the Chatwoot signs by now, the server wants signatures, or
    nothing was proved.
    """
    unsigned = "refused" if case == "refused" else "keyed"
    fields = {
        "unsigned": unsigned,
        "webhook_key": "key-1",
        "proved_us": 0 if case == "not proved" else NOW_US,
    }
    secret = SECRET if case == "a secret is known" else None
    directory = make_directory(
        make_integration(1, 1, secret, **fields), is_required=case == "signatures are required"
    )
    with pytest.raises((BadSignature, PayloadError)):
        route(directory, _keyed("key-1"))
