"""Which integration a delivery belongs to: no signature leads to a foreign company, none is
accepted where one is required.
"""

import time
from pathlib import Path

import pytest

from server.db.access import integration_rows
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.errors import PayloadError
from server.integrations.directory import (
    Directory,
)
from tests.kit.eventually import eventually
from tests.unit.databases import fresh_sqlite
from tests.unit.integrations.directories import (
    BODY,
    NOW_US,
    make_directory,
    make_integration,
    route,
    signed_headers,
)


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
    directory = make_directory(
        make_integration(1, 1),
        make_integration(2, 1, inbox_id=13),
        make_integration(3, 1, inbox_id=None),
    )
    if found is not None:
        assert route(directory, {}, account_id, inbox_id).id == found
    else:
        with pytest.raises(PayloadError) as refused:
            route(directory, {}, account_id, inbox_id)
        assert refused.value.outcome == "ignored"


@pytest.mark.parametrize(
    ("switch", "word"), [("is_active", "is_active"), ("is_webhook_active", "is_webhook_active")]
)
@pytest.mark.parametrize("secret", [None, "secret-a"])
def test_what_is_switched_off_takes_nothing(switch: str, word: str, secret: str | None) -> None:
    """Signed or not; the reason names the switch."""
    directory = make_directory(make_integration(1, 1, secret, **{switch: False}))
    with pytest.raises(PayloadError, match=word) as refused:
        route(directory, signed_headers(secret))
    assert refused.value.outcome == "ignored"


def test_of_several_without_secret_the_only_active_one_is_meant() -> None:
    """A company that moved its inbox left the old row behind."""
    directory = make_directory(make_integration(1, 1, is_active=False), make_integration(2, 1))
    assert route(directory, {}).id == 2


def test_an_integration_that_cannot_be_read_takes_nothing() -> None:
    """Its secret is there but sealed with another key: nothing may pass as if it had none."""
    directory = make_directory(make_integration(1, 1, problem="SECRET_KEY is not the key"))
    with pytest.raises(PayloadError, match="SECRET_KEY") as refused:
        route(directory, {})
    assert refused.value.outcome == "dead"


def test_what_a_removed_integration_verified_goes_to_nobody_else() -> None:
    """Removed between the answer and the drain of the spool: whoever has its numbers now is not
    whose it was.
    """
    directory = make_directory(make_integration(1, 1))
    with pytest.raises(PayloadError, match="removed") as refused:
        directory.find(1, 12, 77)
    assert refused.value.outcome == "ignored"


def test_an_integration_is_found_by_its_own_company_only() -> None:
    """Whatever number is asked for."""
    directory = make_directory(make_integration(1, 1))
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
        assert (
            directory.verify(1, 12, signed_headers("secret-a", sent=int(time.time())), BODY)
            == number
        )


def test_a_switched_off_company_leaves_its_deliveries_to_nobody_else() -> None:
    """Its Chatwoot may still deliver: the other company with the same numbers must not get that."""
    directory = make_directory(make_integration(1, 1, is_active=False), make_integration(2, 2))
    with pytest.raises(PayloadError, match="does not tell whose"):
        route(directory, {})
