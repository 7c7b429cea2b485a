"""Which integration a delivery belongs to: no signature leads to a foreign company, none is accepted where one is required."""

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from server.core.signatures import sign
from server.db import accounts
from server.db.accounts import Integration
from server.db.database import Connection, Database
from server.db.vault import Vault
from server.directory import SIGNATURE_HEADER, TIMESTAMP_HEADER, Directory
from server.errors import BadSignature, PayloadError
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite

BODY = b'{"event": "message_created"}'
NOW = 1_784_365_265
NOW_US = NOW * 1_000_000


def _integration(number: int, company_id: int, secret: str | None = None, **fields: Any) -> Integration:
    given = {"account_id": 1, "inbox_id": 12, "is_active": True, "is_webhook_active": True, "previous_webhook_secret": None}
    return Integration(id=number, company_id=company_id, base_url="", access_token="", webhook_secret=secret, **given | fields)


def _directory(*integrations: Integration, is_required: bool = False) -> Directory:
    directory = Directory(Database("sqlite:////tmp/unused.db"), Vault(""), tolerance_seconds=300, require_signature=is_required)
    directory.take(integrations)
    return directory


def _headers(secret: str | None, body: bytes = BODY, sent: int = NOW) -> dict[str, str]:
    return {} if secret is None else {SIGNATURE_HEADER: sign(secret, str(sent), body), TIMESTAMP_HEADER: str(sent)}


def _route(
    directory: Directory, headers: dict[str, str], account_id: int | None = 1, inbox_id: int | None = 12, body: bytes = BODY
) -> Integration:
    return directory.find(account_id, inbox_id, directory.verify(account_id, inbox_id, headers, body, NOW_US))


SECRETS = (None, "secret-a", "secret-b")


@pytest.mark.parametrize(
    ("first", "second", "signed"), list(itertools.product(SECRETS, SECRETS, (None, "secret-a", "secret-b", "unknown")))
)
def test_two_companies_with_the_same_numbers_are_kept_apart(first: str | None, second: str | None, signed: str | None) -> None:
    """Account 1, inbox 12 on two Chatwoots: a signature leads to whose secret it is, and never past a secret."""
    directory = _directory(_integration(1, 1, first), _integration(2, 2, second))
    fitting = [number for number, secret in ((1, first), (2, second)) if secret is not None and secret == signed]
    open_ones = [number for number, secret in ((1, first), (2, second)) if secret is None]
    if fitting:
        assert _route(directory, _headers(signed)).id == fitting[0]
    elif not open_ones:
        with pytest.raises(BadSignature):
            _route(directory, _headers(signed))
    elif len(open_ones) == 1:
        assert _route(directory, _headers(signed)).id == open_ones[0]
    else:
        with pytest.raises(PayloadError, match="several integrations") as refused:
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
    "headers", [{}, _headers("unknown"), _headers("secret-a", b"{}"), {SIGNATURE_HEADER: "sha256=x", TIMESTAMP_HEADER: "x"}]
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
    """Also for an integration that has no secret, and by `find` alone: a delivery may have been kept without a look."""
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
    [(1, 12, 1), (1, 13, 2), (1, 99, 3), (2, 12, None), (1, None, None), (None, 13, 2), (None, 99, None), (None, None, None)],
)
def test_the_inbox_decides_within_an_account(account_id: int | None, inbox_id: int | None, found: int | None) -> None:
    """An integration of a whole account takes what none of its inboxes takes."""
    directory = _directory(_integration(1, 1), _integration(2, 1, inbox_id=13), _integration(3, 1, inbox_id=None))
    if found is not None:
        assert _route(directory, {}, account_id, inbox_id).id == found
    else:
        with pytest.raises(PayloadError) as refused:
            _route(directory, {}, account_id, inbox_id)
        assert refused.value.outcome == "ignored"


@pytest.mark.parametrize(("switch", "word"), [("is_active", "is_active"), ("is_webhook_active", "is_webhook_active")])
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


def test_a_verified_integration_that_is_gone_is_looked_for_again() -> None:
    """Removed between the answer and the drain of the spool."""
    directory = _directory(_integration(1, 1))
    assert directory.find(1, 12, 77).id == 1


def test_an_integration_is_found_by_its_own_company_only() -> None:
    """Whatever number is asked for."""
    directory = _directory(_integration(1, 1))
    found = directory.of_company(1, 1)
    assert found is not None
    assert found.id == 1
    assert [directory.of_company(*asked) for asked in ((2, 1), (1, None), (1, 5))] == [None, None, None]


async def test_it_follows_the_database(tmp_path: Path) -> None:
    """Added integrations are known after the next look, their secrets in the clear; the signature is judged by our clock."""
    vault = Vault("key")
    async with Database(fresh_sqlite(tmp_path / "directory.db")) as database:
        directory = Directory(database, vault, tolerance_seconds=300, require_signature=False)
        assert not directory.is_loaded
        values = {"company_id": 1, "account_id": 1, "inbox_id": 12, "base_url": "x", "access_token": "t", "webhook_secret": "secret-a"}

        async def add(c: Connection) -> int:
            return await accounts.add_integration(c, vault, values, NOW_US)

        number = await database.transaction(add)
        await directory.refresh()
        assert await eventually(lambda: directory.is_loaded)
        assert directory.verify(1, 12, _headers("secret-a", sent=int(time.time())), BODY) == number


def test_a_switched_off_company_leaves_its_deliveries_to_nobody_else() -> None:
    """Its Chatwoot may still deliver: the other company with the same numbers must not get that."""
    directory = _directory(_integration(1, 1, is_active=False), _integration(2, 2))
    with pytest.raises(PayloadError, match="several integrations"):
        _route(directory, {})
