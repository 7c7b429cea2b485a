"""Integrations that Chatwoot has, or has not, proved: who receives what several claim."""

import pytest

from server.db.access.integration_record import FOUNDER, GRANDFATHERED, Integration
from server.errors import BadSignature, PayloadError
from server.integrations.directory import (
    UNDECIDED,
)
from tests.unit.integrations.directories import (
    NOW_US,
    OTHER,
    SECRET,
    make_directory,
    make_integration,
    route,
    signed_headers,
)


@pytest.mark.parametrize("claimed", [None, OTHER])
def test_a_claim_without_proof_neither_receives_nor_blocks(claimed: str | None) -> None:
    """Written before the owner was here, with the same numbers: the owner's come, the claim's do
    not, and it is not even seen.
    """
    claim = make_integration(1, 1, claimed, proved_us=0)
    for owner in (make_integration(2, 2), make_integration(2, 2, SECRET)):
        directory = make_directory(claim, owner)
        assert route(directory, signed_headers(owner.webhook_secret)).id == 2
    alone = make_directory(claim)
    assert not alone.knows(1, 12)
    with pytest.raises(PayloadError, match="no integration for account 1, inbox 12"):
        route(alone, {})


def test_what_an_unproved_integration_signed_is_kept_from_everybody_else() -> None:
    """Its Chatwoot calls already, and could not be asked yet: parked as its own, with the
    reason.
    """
    directory = make_directory(
        make_integration(1, 1, proved_us=GRANDFATHERED), make_integration(2, 2, OTHER, proved_us=0)
    )
    with pytest.raises(
        PayloadError, match="has not shown yet that the access token of integration 2"
    ) as refused:
        route(directory, signed_headers(OTHER))
    assert refused.value.outcome == "ignored"


def test_the_company_that_proved_first_keeps_what_two_prove() -> None:
    """The same Chatwoot under two addresses, both with a token of its own: one secret, one
    receiver, always the same.
    """
    late = make_integration(1, 1, SECRET, proved_us=NOW_US)
    early = make_integration(2, 2, SECRET, proved_us=NOW_US - 1, base_url="https://a.example.com")
    for order in ((late, early), (early, late)):
        assert route(make_directory(*order), signed_headers(SECRET)).id == 2


@pytest.mark.parametrize("neighbour", [None, OTHER])
def test_an_integration_older_than_proofs_takes_a_signature_nobody_knows_while_it_is_alone(
    neighbour: str | None,
) -> None:
    """Its secret is fetched once its Chatwoot is asked; until then what worked works on. Beside
    another company in an account of that number it is given to neither and refused to neither: kept
    until the secret is known.
    """
    old = make_integration(1, 1, proved_us=GRANDFATHERED)
    assert (
        route(
            make_directory(old, make_integration(3, 1, SECRET, inbox_id=13)),
            signed_headers("unknown"),
        ).id
        == 1
    )
    with pytest.raises(PayloadError, match=UNDECIDED) as kept:
        route(
            make_directory(old, make_integration(2, 2, neighbour, inbox_id=14)),
            signed_headers("unknown"),
        )
    assert kept.value.outcome == "ignored"
    for directory in (
        make_directory(make_integration(1, 1)),
        make_directory(make_integration(1, 1, proved_us=FOUNDER)),
    ):
        with pytest.raises(BadSignature):
            route(directory, signed_headers("unknown"))


@pytest.mark.parametrize("neighbours", [[None], [OTHER], [None, OTHER, None]])
@pytest.mark.parametrize("had", [GRANDFATHERED, FOUNDER])
@pytest.mark.parametrize("inbox_id", [12, None])
def test_a_neighbour_s_proof_takes_no_unsigned_delivery_of_one_who_had_them(
    inbox_id: int | None, had: int, neighbours: list[str | None]
) -> None:
    """Whatever neighbours there are with the same numbers, and whether the older one has the inbox
    or the whole account.
    """
    old = make_integration(9, 9, proved_us=had, inbox_id=inbox_id)
    others = [
        make_integration(number, number, secret) for number, secret in enumerate(neighbours, 1)
    ]
    assert route(make_directory(*others, old), {}).id == 9
    if OTHER in neighbours:
        assert route(make_directory(*others, old), signed_headers(OTHER)).id != 9
    # two that both had them are told apart by nothing
    with pytest.raises(PayloadError, match="does not tell whose"):
        route(make_directory(old, make_integration(8, 8, proved_us=had)), {})


@pytest.mark.parametrize(
    ("others", "owner"),
    [
        ((), 1),
        ((make_integration(2, 2, proved_us=0),), 1),
        ((make_integration(2, 2),), None),
        ((make_integration(2, 1, inbox_id=13),), 1),
    ],
)
def test_whose_a_delivery_of_nobody_is(others: tuple[Integration, ...], owner: int | None) -> None:
    """Of the one company with proved integrations of that address: a claim takes it from nobody."""
    directory = make_directory(make_integration(1, 1), *others)
    assert directory.owner_of('{"account": {"id": 1}, "inbox": {"id": 12}}') == owner
    assert directory.owner_of("no JSON") is None
    assert (
        make_directory(make_integration(1, 1, proved_us=0)).owner_of(
            '{"account": {"id": 1}, "inbox": {"id": 12}}'
        )
        is None
    )
