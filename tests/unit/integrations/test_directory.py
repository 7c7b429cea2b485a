"""Which integration a delivery belongs to: no signature leads to a foreign company, none is
accepted where one is required.
"""

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from server.core.chatwoot.signatures import sign
from server.db.access import integration_rows
from server.db.access.integration_record import FOUNDER, GRANDFATHERED, Integration
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import BadSignature, PayloadError
from server.integrations.directory import (
    KEY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    UNDECIDED,
    Directory,
    key_of,
)
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite

BODY = b'{"event": "message_created"}'
NOW = 1_784_365_265
NOW_US = NOW * 1_000_000


def _integration(
    number: int, company_id: int, secret: str | None = None, **fields: Any
) -> Integration:
    """Proved, the one with the smaller number first; without a secret unsigned webhooks are
    accepted.
    """
    given: dict[str, Any] = {
        "account_id": 1,
        "inbox_id": 12,
        "is_active": True,
        "is_webhook_active": True,
        "previous_webhook_secret": None,
    }
    given |= {
        "unsigned": "refused" if secret else "accepted",
        "proved_us": NOW_US + number,
        "base_url": "",
    }
    return Integration(
        id=number, company_id=company_id, access_token="", webhook_secret=secret, **given | fields
    )


def _directory(*integrations: Integration, is_required: bool = False) -> Directory:
    directory = Directory(
        Database("sqlite:////tmp/unused.db"),
        Vault(""),
        tolerance_seconds=300,
        require_signature=is_required,
    )
    directory.replace_all(integrations)
    return directory


def _headers(secret: str | None, body: bytes = BODY, sent: int = NOW) -> dict[str, str]:
    return (
        {}
        if secret is None
        else {SIGNATURE_HEADER: sign(secret, str(sent), body), TIMESTAMP_HEADER: str(sent)}
    )


def _route(
    directory: Directory,
    headers: dict[str, str],
    account_id: int | None = 1,
    inbox_id: int | None = 12,
    body: bytes = BODY,
) -> Integration:
    verified_id = directory.verify(account_id, inbox_id, headers, body, NOW_US)
    return directory.find(account_id, inbox_id, verified_id, is_signed=SIGNATURE_HEADER in headers)


SECRETS = (None, "secret-a", "secret-b")


@pytest.mark.parametrize(
    ("first", "second", "signed"),
    list(itertools.product(SECRETS, SECRETS, (None, "secret-a", "secret-b", "unknown"))),
)
def test_two_companies_with_the_same_numbers_are_kept_apart(
    first: str | None, second: str | None, signed: str | None
) -> None:
    """Account 1, inbox 12 on two Chatwoots: a signature leads to whose secret it is, or nowhere."""
    directory = _directory(_integration(1, 1, first), _integration(2, 2, second))
    fitting = [
        number
        for number, secret in ((1, first), (2, second))
        if secret is not None and secret == signed
    ]
    open_ones = [number for number, secret in ((1, first), (2, second)) if secret is None]
    if fitting:
        assert _route(directory, _headers(signed)).id == fitting[0]
    elif not open_ones or signed is not None:
        with pytest.raises(BadSignature):
            _route(directory, _headers(signed))
    elif len(open_ones) == 1:
        assert _route(directory, _headers(signed)).id == open_ones[0]
    else:
        with pytest.raises(PayloadError, match="does not tell whose") as refused:
            _route(directory, _headers(signed))
        assert refused.value.outcome == "ignored"


@pytest.mark.parametrize("other", [None, "secret-b"])
@pytest.mark.parametrize("age", [301, -301, 86_400])
def test_an_old_signature_is_refused_wherever_it_could_go(other: str | None, age: int) -> None:
    """It proves whose the delivery is: it must not fall to another company that has no secret."""
    directory = _directory(_integration(1, 1, "secret-a"), _integration(2, 2, other))
    with pytest.raises(BadSignature):
        _route(directory, _headers("secret-a", sent=NOW - age))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        _headers("unknown"),
        _headers("secret-a", b"{}"),
        {SIGNATURE_HEADER: "sha256=x", TIMESTAMP_HEADER: "x"},
    ],
)
def test_bad_and_missing_signatures_are_refused(headers: dict[str, str]) -> None:
    """Forged for an account whose integration has a secret (row 35), or for none that is named."""
    directory = _directory(_integration(1, 1, "secret-a"))
    with pytest.raises(BadSignature):
        _route(directory, headers)
    with pytest.raises(BadSignature):
        _route(directory, headers, account_id=None)
    with pytest.raises(BadSignature):
        _route(directory, headers, inbox_id=None)


def test_a_rotated_secret_counts_beside_the_new_one() -> None:
    """Until the rotation is over."""
    directory = _directory(_integration(1, 1, "new", previous_webhook_secret="old"))
    assert _route(directory, _headers("new")).id == 1
    assert _route(directory, _headers("old")).id == 1
    with pytest.raises(BadSignature):
        _route(directory, _headers("older"))


@pytest.mark.parametrize("signed", [None, "unknown"])
def test_where_a_signature_is_required_none_is_refused(signed: str | None) -> None:
    """Also for an integration that has no secret, and by `find` alone: a delivery may have been
    kept without a look.
    """
    directory = _directory(_integration(1, 1), is_required=True)
    with pytest.raises(BadSignature):
        _route(directory, _headers(signed))
    with pytest.raises(PayloadError, match="signature"):
        directory.find(1, 12, None)
    with pytest.raises(PayloadError, match="no integration") as refused:
        _route(directory, _headers(signed), account_id=5)
    assert refused.value.outcome == "ignored"


@pytest.mark.parametrize(
    ("account_id", "inbox_id", "found"),
    [
        (1, 12, 1),
        (1, 13, 2),
        (1, 99, 3),
        (2, 12, None),
        (1, None, None),
        (None, 13, 2),
        (None, 99, None),
        (None, None, None),
    ],
)
def test_the_inbox_decides_within_an_account(
    account_id: int | None, inbox_id: int | None, found: int | None
) -> None:
    """An integration of a whole account takes what none of its inboxes takes."""
    directory = _directory(
        _integration(1, 1), _integration(2, 1, inbox_id=13), _integration(3, 1, inbox_id=None)
    )
    if found is not None:
        assert _route(directory, {}, account_id, inbox_id).id == found
    else:
        with pytest.raises(PayloadError) as refused:
            _route(directory, {}, account_id, inbox_id)
        assert refused.value.outcome == "ignored"


@pytest.mark.parametrize(
    ("switch", "word"), [("is_active", "is_active"), ("is_webhook_active", "is_webhook_active")]
)
@pytest.mark.parametrize("secret", [None, "secret-a"])
def test_what_is_switched_off_takes_nothing(switch: str, word: str, secret: str | None) -> None:
    """Signed or not; the reason names the switch."""
    directory = _directory(_integration(1, 1, secret, **{switch: False}))
    with pytest.raises(PayloadError, match=word) as refused:
        _route(directory, _headers(secret))
    assert refused.value.outcome == "ignored"


def test_of_several_without_secret_the_only_active_one_is_meant() -> None:
    """A company that moved its inbox left the old row behind."""
    directory = _directory(_integration(1, 1, is_active=False), _integration(2, 1))
    assert _route(directory, {}).id == 2


def test_an_integration_that_cannot_be_read_takes_nothing() -> None:
    """Its secret is there but sealed with another key: nothing may pass as if it had none."""
    directory = _directory(_integration(1, 1, problem="SECRET_KEY is not the key"))
    with pytest.raises(PayloadError, match="SECRET_KEY") as refused:
        _route(directory, {})
    assert refused.value.outcome == "dead"


def test_what_a_removed_integration_verified_goes_to_nobody_else() -> None:
    """Removed between the answer and the drain of the spool: whoever has its numbers now is not
    whose it was.
    """
    directory = _directory(_integration(1, 1))
    with pytest.raises(PayloadError, match="removed") as refused:
        directory.find(1, 12, 77)
    assert refused.value.outcome == "ignored"


def test_an_integration_is_found_by_its_own_company_only() -> None:
    """Whatever number is asked for."""
    directory = _directory(_integration(1, 1))
    found = directory.of_company(1, 1)
    assert found is not None
    assert found.id == 1
    assert [directory.of_company(*asked) for asked in ((2, 1), (1, None), (1, 5))] == [
        None,
        None,
        None,
    ]


async def test_it_follows_the_database(tmp_path: Path) -> None:
    """Added integrations are known after the next look, their secrets in the clear; the signature
    is judged by our clock.
    """
    vault = Vault("key")
    async with Database(fresh_sqlite(tmp_path / "directory.db")) as database:
        directory = Directory(database, vault, tolerance_seconds=300, require_signature=False)
        assert not directory.is_loaded
        values = {
            "company_id": 1,
            "account_id": 1,
            "inbox_id": 12,
            "base_url": "x",
            "access_token": "t",
            "webhook_secret": "secret-a",
        }
        values |= {"proved_us": 2}

        async def add(c: Connection) -> int:
            return await integration_rows.add_integration(c, vault, values, NOW_US)

        number = await database.transaction(add)
        await directory.refresh()
        assert await eventually(lambda: directory.is_loaded)
        assert directory.verify(1, 12, _headers("secret-a", sent=int(time.time())), BODY) == number


def test_a_switched_off_company_leaves_its_deliveries_to_nobody_else() -> None:
    """Its Chatwoot may still deliver: the other company with the same numbers must not get that."""
    directory = _directory(_integration(1, 1, is_active=False), _integration(2, 2))
    with pytest.raises(PayloadError, match="does not tell whose"):
        _route(directory, {})


SECRET, OTHER = "secret-a", "secret-b"


@pytest.mark.parametrize("theirs", [None, OTHER])
@pytest.mark.parametrize("inbox_id", [12, 13])
def test_a_secret_of_the_account_decides_whatever_the_inbox(
    theirs: str | None, inbox_id: int
) -> None:
    """Another company wrote the next inbox's number, or the same, beside its own Chatwoot's
    address: nothing of this one goes there.
    """
    foreign = _integration(
        2, 2, theirs, inbox_id=inbox_id, base_url="https://elsewhere.example.com"
    )
    directory = _directory(_integration(1, 1, SECRET), foreign)
    if inbox_id == 12:
        assert _route(directory, _headers(SECRET)).company_id == 1
    else:
        assert directory.verify(1, 13, _headers(SECRET), BODY, NOW_US) == 1
        with pytest.raises(PayloadError, match="no integration for account 1, inbox 13"):
            _route(directory, _headers(SECRET), inbox_id=13)
    # an API inbox's own callback, a secret that was renewed by hand
    with pytest.raises(BadSignature):
        _route(directory, _headers("unknown"), inbox_id=inbox_id)


@pytest.mark.parametrize(("inbox_id", "theirs"), [(12, 12), (12, 13), (13, 12)])
@pytest.mark.parametrize("size", [30, 5_000_000])
def test_who_has_many_secrets_uses_up_nobody_s_tries(size: int, inbox_id: int, theirs: int) -> None:
    """All beside Chatwoots of its own, where it can prove any number, before the other company was
    here.
    """
    many = [
        _integration(
            n,
            2,
            f"secret-{n}",
            previous_webhook_secret=f"before-{n}",
            inbox_id=theirs,
            base_url=f"https://{n}.example.com",
        )
        for n in range(2, 3_000)
    ]
    late = _integration(9_999, 1, SECRET, proved_us=NOW_US + 10_000)
    body = BODY + b" " * (size - len(BODY))
    directory = _directory(*many, late)
    assert directory.verify(1, inbox_id, _headers(SECRET, body), body, NOW_US) == 9_999
    assert directory.takes_long(1, inbox_id, len(body)), "so much is hashed in a thread"
    assert not _directory(late).takes_long(1, inbox_id, 60_000)


def test_hundreds_of_companies_share_an_account_s_number() -> None:
    """Every self-hosted Chatwoot begins with account 1 and inbox 1."""
    several = [_integration(n, n, f"secret-{n}", inbox_id=1) for n in range(1, 801)]
    directory = _directory(*several)
    assert _route(directory, _headers("secret-800"), inbox_id=1).id == 800
    with pytest.raises(BadSignature):
        _route(directory, _headers("unknown"), inbox_id=1)


def test_a_company_s_secret_serves_all_its_inboxes_of_the_account() -> None:
    """The secret was fetched for one of them; the account has one webhook. Not those at another
    Chatwoot with that number.
    """
    there = _integration(3, 1, inbox_id=14, base_url="https://second.example.com")
    directory = _directory(_integration(1, 1, SECRET), _integration(2, 1, inbox_id=13), there)
    assert _route(directory, _headers(SECRET), inbox_id=13).id == 2
    with pytest.raises(PayloadError, match="no integration"):
        _route(directory, _headers(SECRET), inbox_id=14)


@pytest.mark.parametrize("claimed", [None, OTHER])
def test_a_claim_without_proof_neither_receives_nor_blocks(claimed: str | None) -> None:
    """Written before the owner was here, with the same numbers: the owner's come, the claim's do
    not, and it is not even seen.
    """
    claim = _integration(1, 1, claimed, proved_us=0)
    for owner in (_integration(2, 2), _integration(2, 2, SECRET)):
        directory = _directory(claim, owner)
        assert _route(directory, _headers(owner.webhook_secret)).id == 2
    alone = _directory(claim)
    assert not alone.knows(1, 12)
    with pytest.raises(PayloadError, match="no integration for account 1, inbox 12"):
        _route(alone, {})


def test_what_an_unproved_integration_signed_is_kept_from_everybody_else() -> None:
    """Its Chatwoot calls already, and could not be asked yet: parked as its own, with the
    reason.
    """
    directory = _directory(
        _integration(1, 1, proved_us=GRANDFATHERED), _integration(2, 2, OTHER, proved_us=0)
    )
    with pytest.raises(
        PayloadError, match="has not shown yet that the access token of integration 2"
    ) as refused:
        _route(directory, _headers(OTHER))
    assert refused.value.outcome == "ignored"


def test_the_company_that_proved_first_keeps_what_two_prove() -> None:
    """The same Chatwoot under two addresses, both with a token of its own: one secret, one
    receiver, always the same.
    """
    late = _integration(1, 1, SECRET, proved_us=NOW_US)
    early = _integration(2, 2, SECRET, proved_us=NOW_US - 1, base_url="https://a.example.com")
    for order in ((late, early), (early, late)):
        assert _route(_directory(*order), _headers(SECRET)).id == 2


@pytest.mark.parametrize("neighbour", [None, OTHER])
def test_an_integration_older_than_proofs_takes_a_signature_nobody_knows_while_it_is_alone(
    neighbour: str | None,
) -> None:
    """Its secret is fetched once its Chatwoot is asked; until then what worked works on. Beside
    another company in an account of that number it is given to neither and refused to neither: kept
    until the secret is known.
    """
    old = _integration(1, 1, proved_us=GRANDFATHERED)
    assert (
        _route(_directory(old, _integration(3, 1, SECRET, inbox_id=13)), _headers("unknown")).id
        == 1
    )
    with pytest.raises(PayloadError, match=UNDECIDED) as kept:
        _route(_directory(old, _integration(2, 2, neighbour, inbox_id=14)), _headers("unknown"))
    assert kept.value.outcome == "ignored"
    for directory in (
        _directory(_integration(1, 1)),
        _directory(_integration(1, 1, proved_us=FOUNDER)),
    ):
        with pytest.raises(BadSignature):
            _route(directory, _headers("unknown"))


@pytest.mark.parametrize("neighbours", [[None], [OTHER], [None, OTHER, None]])
@pytest.mark.parametrize("had", [GRANDFATHERED, FOUNDER])
@pytest.mark.parametrize("inbox_id", [12, None])
def test_a_neighbour_s_proof_takes_no_unsigned_delivery_of_one_who_had_them(
    inbox_id: int | None, had: int, neighbours: list[str | None]
) -> None:
    """Whatever neighbours there are with the same numbers, and whether the older one has the inbox
    or the whole account.
    """
    old = _integration(9, 9, proved_us=had, inbox_id=inbox_id)
    others = [_integration(number, number, secret) for number, secret in enumerate(neighbours, 1)]
    assert _route(_directory(*others, old), {}).id == 9
    if OTHER in neighbours:
        assert _route(_directory(*others, old), _headers(OTHER)).id != 9
    # two that both had them are told apart by nothing
    with pytest.raises(PayloadError, match="does not tell whose"):
        _route(_directory(old, _integration(8, 8, proved_us=had)), {})


def test_signatures_are_required_by_default() -> None:
    """An integration without a secret takes nothing that is not signed, unless it says
    otherwise.
    """
    directory = _directory(_integration(1, 1, unsigned="refused"))
    for headers in ({}, _headers("unknown")):
        with pytest.raises(BadSignature):
            _route(directory, headers)
    with pytest.raises(PayloadError, match="signature"):
        directory.find(1, 12, None)


def _keyed(key: str) -> dict[str, str]:
    return {KEY_HEADER: key_of(f"v=1&key={key}".encode()) or ""}


def test_a_key_in_the_address_tells_whose_an_unsigned_delivery_is() -> None:
    """Two old Chatwoots with the same numbers; without a key, with another's, for another account:
    refused.
    """
    first, second = (_integration(n, n, unsigned="keyed", webhook_key=f"key-{n}") for n in (1, 2))
    directory = _directory(first, second)
    assert [_route(directory, _keyed(f"key-{n}")).id for n in (1, 2)] == [1, 2]
    # it signs since its update; nobody has fetched the secret yet
    assert _route(directory, _keyed("key-1") | _headers("unknown")).id == 1
    for headers, account_id in (
        ({}, 1),
        (_keyed("key-3"), 1),
        (_keyed(""), 1),
        (_keyed("key-1"), 2),
    ):
        with pytest.raises(BadSignature):
            _route(directory, headers, account_id=account_id)
    with pytest.raises(PayloadError, match="no integration for account 1, inbox 13"):
        _route(directory, _keyed("key-1"), inbox_id=13)


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
    directory = _directory(
        _integration(1, 1, secret, **fields), is_required=case == "signatures are required"
    )
    with pytest.raises((BadSignature, PayloadError)):
        _route(directory, _keyed("key-1"))


def test_a_previous_secret_ends_by_when_a_delivery_was_received() -> None:
    """What came in time and was judged later is good; what came a microsecond after the end is
    not.
    """
    directory = _directory(
        _integration(1, 1, "new", previous_webhook_secret="old", previous_until_us=NOW_US)
    )
    headers = _headers("old")
    assert directory.verify(1, 12, headers, BODY, NOW_US) == 1
    with pytest.raises(BadSignature):
        directory.verify(1, 12, headers, BODY, NOW_US + 1)
    only = _directory(
        _integration(
            1,
            1,
            None,
            previous_webhook_secret="old",
            previous_until_us=NOW_US - 1,
            unsigned="accepted",
        )
    )
    # its last secret ended; that does not make it one that takes unsigned ones
    with pytest.raises(BadSignature):
        _route(only, {})


def test_tries_for_one_delivery_are_bounded_and_the_inbox_s_own_come_first() -> None:
    """However many claim an account, and however large the body."""
    crowd = [
        _integration(n, n, f"secret-{n}", inbox_id=n + 100, proved_us=n) for n in range(1, 2_500)
    ]
    directory = _directory(*crowd, _integration(9_000, 9_000, SECRET, proved_us=10_000))
    assert _route(directory, _headers(SECRET)).id == 9_000
    large = b"{" + b" " * 30_000_000 + b"}"
    assert _route(directory, _headers(SECRET, large), body=large).id == 9_000
    for number, body in ((2_300, BODY), (10, large)):  # fits a secret that is not tried any more
        with pytest.raises(BadSignature):
            _route(directory, _headers(f"secret-{number}", body), body=body)


@pytest.mark.parametrize(
    ("others", "owner"),
    [
        ((), 1),
        ((_integration(2, 2, proved_us=0),), 1),
        ((_integration(2, 2),), None),
        ((_integration(2, 1, inbox_id=13),), 1),
    ],
)
def test_whose_a_delivery_of_nobody_is(others: tuple[Integration, ...], owner: int | None) -> None:
    """Of the one company with proved integrations of that address: a claim takes it from nobody."""
    directory = _directory(_integration(1, 1), *others)
    assert directory.owner_of('{"account": {"id": 1}, "inbox": {"id": 12}}') == owner
    assert directory.owner_of("no JSON") is None
    assert (
        _directory(_integration(1, 1, proved_us=0)).owner_of(
            '{"account": {"id": 1}, "inbox": {"id": 12}}'
        )
        is None
    )
