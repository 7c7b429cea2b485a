"""Who may read metrics and the details of `/readyz`: they name parts, integrations and numbers of
agents.
"""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.omni import Omni

_TOKEN = "a token of the operators"
_ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}  # as a proxy on this machine says it
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(omni: Omni, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """(status, body) of a GET."""
    try:
        with _OPENER.open(
            urllib.request.Request(omni.base_url + path, headers=headers), timeout=10
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


@pytest.fixture
def omni(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Omni]:
    """A server with the environment the test asks for."""
    one = Omni(tmp_path, database_url=f"sqlite:///{tmp_path}/omni.db", env=request.param)
    one.start()
    yield one
    one.kill9()


@pytest.mark.parametrize("omni", [{}], indirect=True)
def test_details_are_for_this_machine_alone(omni: Omni) -> None:
    """Others learn whether the process is ready, which a balancer needs, and no more."""
    assert "omni_" in fetch(omni, "/metrics", {})[1]
    assert '"problems"' in fetch(omni, "/readyz", {})[1]
    status, body = fetch(omni, "/metrics", _ELSEWHERE)
    assert (status, "omni_" in body, "OPERATION_TOKEN" in body) == (403, False, True)
    status, body = fetch(omni, "/readyz", _ELSEWHERE)
    assert (status, "problems" in body, '"status"' in body) == (200, False, True)


@pytest.mark.parametrize("omni", [{"OPERATION_TOKEN": _TOKEN}], indirect=True)
def test_details_are_for_whoever_brings_the_token(omni: Omni) -> None:
    """From anywhere; without it, not even from this machine."""
    bearer = {"Authorization": f"Bearer {_TOKEN}"}
    assert "omni_" in fetch(omni, "/metrics", bearer | _ELSEWHERE)[1]
    assert '"problems"' in fetch(omni, "/readyz", bearer | _ELSEWHERE)[1]
    for headers in (
        {},
        {"Authorization": "Bearer another token altogether"},
        {"Authorization": f"bearer{_TOKEN}"},
    ):
        assert fetch(omni, "/metrics", headers)[0] == 401
        assert '"problems"' not in fetch(omni, "/readyz", headers)[1]
