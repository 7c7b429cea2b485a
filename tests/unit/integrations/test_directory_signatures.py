"""Signatures of deliveries: each leads to whose secret it is, or nowhere."""

import itertools

import pytest

from server.errors import BadSignature, PayloadError
from server.integrations.directory import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
)
from tests.unit.integrations.directories import (
    BODY,
    NOW,
    NOW_US,
    OTHER,
    SECRET,
    make_directory,
    make_integration,
    route,
    signed_headers,
)

SECRETS = (None, "secret-a", "secret-b")


@pytest.mark.parametrize(
    ("first", "second", "signed"),
    list(itertools.product(SECRETS, SECRETS, (None, "secret-a", "secret-b", "unknown"))),
)
def test_two_companies_with_the_same_numbers_are_kept_apart(
    first: str | None, second: str | None, signed: str | None
) -> None:
    """Account 1, inbox 12 on two Chatwoots: a signature leads to whose secret it is, or nowhere."""
    directory = make_directory(make_integration(1, 1, first), make_integration(2, 2, second))
    fitting = [
        number
        for number, secret in ((1, first), (2, second))
        if secret is not None and secret == signed
    ]
    open_ones = [number for number, secret in ((1, first), (2, second)) if secret is None]
    if fitting:
        assert route(directory, signed_headers(signed)).id == fitting[0]
    elif not open_ones or signed is not None:
        with pytest.raises(BadSignature):
            route(directory, signed_headers(signed))
    elif len(open_ones) == 1:
        assert route(directory, signed_headers(signed)).id == open_ones[0]
    else:
        with pytest.raises(PayloadError, match="does not tell whose") as refused:
            route(directory, signed_headers(signed))
        assert refused.value.outcome == "ignored"


@pytest.mark.parametrize("other", [None, "secret-b"])
@pytest.mark.parametrize("age", [301, -301, 86_400])
def test_an_old_signature_is_refused_wherever_it_could_go(other: str | None, age: int) -> None:
    """It proves whose the delivery is: it must not fall to another company that has no secret."""
    directory = make_directory(make_integration(1, 1, "secret-a"), make_integration(2, 2, other))
    with pytest.raises(BadSignature):
        route(directory, signed_headers("secret-a", sent=NOW - age))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed_headers("unknown"),
        signed_headers("secret-a", b"{}"),
        {SIGNATURE_HEADER: "sha256=x", TIMESTAMP_HEADER: "x"},
    ],
)
def test_bad_and_missing_signatures_are_refused(headers: dict[str, str]) -> None:
    """Forged for an account whose integration has a secret (row 35), or for none that is named."""
    directory = make_directory(make_integration(1, 1, "secret-a"))
    with pytest.raises(BadSignature):
        route(directory, headers)
    with pytest.raises(BadSignature):
        route(directory, headers, account_id=None)
    with pytest.raises(BadSignature):
        route(directory, headers, inbox_id=None)


def test_a_rotated_secret_counts_beside_the_new_one() -> None:
    """Until the rotation is over."""
    directory = make_directory(make_integration(1, 1, "new", previous_webhook_secret="old"))
    assert route(directory, signed_headers("new")).id == 1
    assert route(directory, signed_headers("old")).id == 1
    with pytest.raises(BadSignature):
        route(directory, signed_headers("older"))


@pytest.mark.parametrize("signed", [None, "unknown"])
def test_where_a_signature_is_required_none_is_refused(signed: str | None) -> None:
    """Also for an integration that has no secret, and by `find` alone: a delivery may have been
    kept without a look.
    """
    directory = make_directory(make_integration(1, 1), is_required=True)
    with pytest.raises(BadSignature):
        route(directory, signed_headers(signed))
    with pytest.raises(PayloadError, match="signature"):
        directory.find(1, 12, None)
    with pytest.raises(PayloadError, match="no integration") as refused:
        route(directory, signed_headers(signed), account_id=5)
    assert refused.value.outcome == "ignored"


@pytest.mark.parametrize("theirs", [None, OTHER])
@pytest.mark.parametrize("inbox_id", [12, 13])
def test_a_secret_of_the_account_decides_whatever_the_inbox(
    theirs: str | None, inbox_id: int
) -> None:
    """Another company wrote the next inbox's number, or the same, beside its own Chatwoot's
    address: nothing of this one goes there.
    """
    foreign = make_integration(
        2, 2, theirs, inbox_id=inbox_id, base_url="https://elsewhere.example.com"
    )
    directory = make_directory(make_integration(1, 1, SECRET), foreign)
    if inbox_id == 12:
        assert route(directory, signed_headers(SECRET)).company_id == 1
    else:
        assert directory.verify(1, 13, signed_headers(SECRET), BODY, NOW_US) == 1
        with pytest.raises(PayloadError, match="no integration for account 1, inbox 13"):
            route(directory, signed_headers(SECRET), inbox_id=13)
    # an API inbox's own callback, a secret that was renewed by hand
    with pytest.raises(BadSignature):
        route(directory, signed_headers("unknown"), inbox_id=inbox_id)


@pytest.mark.parametrize(("inbox_id", "theirs"), [(12, 12), (12, 13), (13, 12)])
@pytest.mark.parametrize("size", [30, 5_000_000])
def test_who_has_many_secrets_uses_up_nobody_s_tries(size: int, inbox_id: int, theirs: int) -> None:
    """All beside Chatwoots of its own, where it can prove any number, before the other company was
    here.
    """
    many = [
        make_integration(
            n,
            2,
            f"secret-{n}",
            previous_webhook_secret=f"before-{n}",
            inbox_id=theirs,
            base_url=f"https://{n}.example.com",
        )
        for n in range(2, 3_000)
    ]
    late = make_integration(9_999, 1, SECRET, proved_us=NOW_US + 10_000)
    body = BODY + b" " * (size - len(BODY))
    directory = make_directory(*many, late)
    assert directory.verify(1, inbox_id, signed_headers(SECRET, body), body, NOW_US) == 9_999
    assert directory.takes_long(1, inbox_id, len(body)), "so much is hashed in a thread"
    assert not make_directory(late).takes_long(1, inbox_id, 60_000)


def test_hundreds_of_companies_share_an_account_s_number() -> None:
    """Every self-hosted Chatwoot begins with account 1 and inbox 1."""
    several = [make_integration(n, n, f"secret-{n}", inbox_id=1) for n in range(1, 801)]
    directory = make_directory(*several)
    assert route(directory, signed_headers("secret-800"), inbox_id=1).id == 800
    with pytest.raises(BadSignature):
        route(directory, signed_headers("unknown"), inbox_id=1)


def test_a_company_s_secret_serves_all_its_inboxes_of_the_account() -> None:
    """The secret was fetched for one of them; the account has one webhook. Not those at another
    Chatwoot with that number.
    """
    there = make_integration(3, 1, inbox_id=14, base_url="https://second.example.com")
    directory = make_directory(
        make_integration(1, 1, SECRET), make_integration(2, 1, inbox_id=13), there
    )
    assert route(directory, signed_headers(SECRET), inbox_id=13).id == 2
    with pytest.raises(PayloadError, match="no integration"):
        route(directory, signed_headers(SECRET), inbox_id=14)


def test_signatures_are_required_by_default() -> None:
    """An integration without a secret takes nothing that is not signed, unless it says
    otherwise.
    """
    directory = make_directory(make_integration(1, 1, unsigned="refused"))
    for headers in ({}, signed_headers("unknown")):
        with pytest.raises(BadSignature):
            route(directory, headers)
    with pytest.raises(PayloadError, match="signature"):
        directory.find(1, 12, None)


def test_a_previous_secret_ends_by_when_a_delivery_was_received() -> None:
    """What came in time and was judged later is good; what came a microsecond after the end is
    not.
    """
    directory = make_directory(
        make_integration(1, 1, "new", previous_webhook_secret="old", previous_until_us=NOW_US)
    )
    headers = signed_headers("old")
    assert directory.verify(1, 12, headers, BODY, NOW_US) == 1
    with pytest.raises(BadSignature):
        directory.verify(1, 12, headers, BODY, NOW_US + 1)
    only = make_directory(
        make_integration(
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
        route(only, {})


def test_tries_for_one_delivery_are_bounded_and_the_inbox_s_own_come_first() -> None:
    """However many claim an account, and however large the body."""
    crowd = [
        make_integration(n, n, f"secret-{n}", inbox_id=n + 100, proved_us=n)
        for n in range(1, 2_500)
    ]
    directory = make_directory(*crowd, make_integration(9_000, 9_000, SECRET, proved_us=10_000))
    assert route(directory, signed_headers(SECRET)).id == 9_000
    large = b"{" + b" " * 30_000_000 + b"}"
    assert route(directory, signed_headers(SECRET, large), body=large).id == 9_000
    for number, body in ((2_300, BODY), (10, large)):  # fits a secret that is not tried any more
        with pytest.raises(BadSignature):
            route(directory, signed_headers(f"secret-{number}", body), body=body)
