"""The files of `deploy/`: what a container's image is made of, and what a service of the machine
may do.
"""

import fnmatch
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent.parent
_UNITS = sorted((_ROOT / "deploy").glob("*.service"))
_SECRETS = (
    ".env",
    "data/omni.db",
    "data/dev-jwt-secret",
    "data/dev-secret-key",
    ".git/config",
    "tests/kit/omni.py",
    ".venv/bin/python",
)
_NEEDED = (
    "pyproject.toml",
    "requirements.lock",
    "schema.sql",
    "server/app.py",
    "web/templates/inbox.html",
)
_HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "ProtectProc": "invisible",
    "CapabilityBoundingSet": "",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
}


def _is_left_out(path: str) -> bool:
    """As Docker reads the file: the last line that fits decides; a line of a folder fits everything
    in it.
    """
    is_out = False
    for line in (_ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!").rstrip("/")
        if not pattern or pattern.startswith("#"):
            continue
        places = [path, *(str(parent) for parent in Path(path).parents)]
        if any(
            fnmatch.fnmatch(place, pattern)
            or fnmatch.fnmatch(f"/{place}", pattern.replace("**", "*"))
            for place in places
        ):
            is_out = not line.startswith("!")
    return is_out


@pytest.mark.parametrize("path", _SECRETS)
def test_no_secret_of_a_developer_comes_into_an_image(path: str) -> None:
    """Nor the history, nor a database."""
    assert _is_left_out(path)


@pytest.mark.parametrize("path", _NEEDED)
def test_what_the_program_needs_comes_into_an_image(path: str) -> None:
    assert not _is_left_out(path)


@pytest.mark.parametrize("unit", _UNITS, ids=lambda path: path.name)
def test_a_service_may_do_little(unit: Path) -> None:
    """It gains no privileges, has bounds of memory and tasks, and cannot ask the cloud for the
    machine's credentials.
    """
    lines = [
        line for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#")
    ]
    found = {name: value for name, _, value in (line.partition("=") for line in lines)}
    assert {name: found.get(name) for name in _HARDENED} == _HARDENED
    assert found["MemoryMax"]
    assert int(found["TasksMax"]) > 0
    assert "169.254.169.254" in found["IPAddressDeny"]


def test_there_are_units_to_look_at() -> None:
    assert len(_UNITS) == 2
