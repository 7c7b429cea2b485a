"""`omni-inbox doctor --security` says what is open, and never shows a secret."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from server.core.times import wall_now_us
from tests.kit.omni import JWT_SECRET, SECRET_KEY, Omni


def test_what_is_open_is_found(tmp_path: Path) -> None:
    """An unsigned integration, a spool that others may read; what is closed is said as well."""
    omni = Omni(tmp_path, database_url=f"sqlite:///{tmp_path}/omni.db")
    omni.prepare()
    omni.add_integration(company_id=1, inbox_id=1)
    spool = Path(omni.env["SPOOL_PATH"])
    spool.touch()
    spool.chmod(0o644)
    done = omni.cli("doctor", "--security", "--json")
    found = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert (found["files"]["state"], str(spool) in found["files"]["text"]) == ("failed", True)
    assert found["signatures"]["state"] == "warning"
    assert (found["SECRET_KEY"]["state"], found["bus"]["state"]) == ("ok", "ok")
    assert all(secret not in done.stdout for secret in (JWT_SECRET, SECRET_KEY))
    spool.chmod(0o600)
    assert omni.cli("doctor", "--security").returncode == 0


def _found(omni: Omni) -> dict[str, dict[str, str]]:
    done = omni.cli("doctor", "--security", "--json")
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def test_open_doors_of_people_and_integrations_are_found(tmp_path: Path) -> None:
    """Each from what stands in the database; a new installation has none of them, and each names a
    remedy.
    """
    names = (
        "signatures",
        "keys in addresses",
        "proofs",
        "replaced secrets",
        "second factors",
        "invitations",
        "attempts",
    )
    env = {"HOST": "0.0.0.0", "PUBLIC_URL": "https://inbox.example.org"}
    omni = Omni(tmp_path, database_url=f"sqlite:///{tmp_path}/omni.db", env=env)
    omni.prepare()
    found = _found(omni)
    assert {name: found[name]["state"] for name in names} == dict.fromkeys(names, "ok")

    first = omni.add_integration(inbox_id=1, webhook_secret="a" * 24)["id"]
    options = (
        "--company-id",
        "1",
        "--email",
        "boss@example.org",
        "--name",
        "Boss",
        "--role",
        "admin",
    )
    omni.cli("agent", "add", *options, "--password-stdin", input="a long password")
    omni.cli(
        "agent",
        "invite",
        "--company-id",
        "2",
        "--email",
        "next@example.org",
        "--name",
        "Next",
        "--role",
        "admin",
    )
    with closing(sqlite3.connect(tmp_path / "omni.db")) as database, database:
        columns = [
            row[1]
            for row in database.execute("PRAGMA table_info(integrations)")
            if row[1] not in ("id", "page_id")
        ]
        copied = (
            f"INSERT INTO integrations (page_id, {', '.join(columns)}) SELECT ?, "
            f"{', '.join(columns)} FROM integrations WHERE id = ?"
        )
        replaced, keyed, accepted, old = (
            database.execute(copied, (inbox_id, first)).lastrowid for inbox_id in range(2, 6)
        )
        for number, change in (
            (replaced, "omni_previous_webhook_secret = omni_webhook_secret"),
            (keyed, "omni_webhook_secret = NULL, omni_unsigned_webhooks = 'keyed'"),
            (accepted, "omni_webhook_secret = NULL, omni_unsigned_webhooks = 'accepted'"),
            (old, "omni_proved_at = 1"),
        ):
            database.execute(f"UPDATE integrations SET {change} WHERE id = ?", (number,))
        line = (
            "INSERT INTO omni_audit_log (company_id, at, actor, act) VALUES (?, ?, 'Tomas', "
            "'foreign.refused')"
        )
        database.executemany(line, [(1, wall_now_us()), (1, int((time.time() - 90_000) * 1e6))])
    found = _found(omni)
    assert {name: found[name]["state"] for name in (*names, "trusted proxies")} == dict.fromkeys(
        (*names, "trusted proxies"), "warning"
    )
    assert all(found[name]["remedy"] for name in names)
    for name, number in (
        ("keys in addresses", keyed),
        ("replaced secrets", replaced),
        ("signatures", accepted),
        ("proofs", old),
    ):
        assert f": {number}" in found[name]["text"], found[name]
    assert "1 in company 1" in found["second factors"]["text"]
    assert "1 in company 2" in found["invitations"]["text"]
    assert "1 in company 1;" in found["attempts"]["text"], (
        "the line of the day before does not count"
    )
