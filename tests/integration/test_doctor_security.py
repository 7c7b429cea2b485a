"""`omni-inbox doctor --security` says what is open, and never shows a secret."""

import json
from pathlib import Path

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
