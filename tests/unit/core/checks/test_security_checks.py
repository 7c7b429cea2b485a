"""Each opening is found, and each finding names its remedy."""

import pytest

from server.core.checks import security_checks as checks
from server.core.checks.integration_checks import Finding
from server.problems import english


@pytest.mark.parametrize(
    ("url", "is_encrypted", "state"),
    [
        ("sqlite:///data/omni.db", False, "ok"),
        ("mysql://a:b@127.0.0.1/c", False, "ok"),
        ("mysql://a:b@localhost/c", False, "ok"),
        ("mysql://a:b@db.example.org/c", False, "warning"),
        ("mysql://a:b@db.example.org/c?ssl=true", True, "ok"),
    ],
)
def test_a_database_elsewhere_is_reached_over_tls(url: str, is_encrypted: bool, state: str) -> None:
    """On this machine nobody listens in between."""
    finding = checks.judge_database_encryption(url, is_encrypted=is_encrypted)
    assert (finding.state, "b@" in english(finding.text)) == (state, False)


@pytest.mark.parametrize(
    ("url", "states"),
    [
        ("memory://", ["ok"]),
        ("redis://127.0.0.1/0", ["ok", "warning"]),
        ("redis://:secret@127.0.0.1/0", ["ok", "ok"]),
        ("redis://:secret@redis.example.org/0", ["warning", "ok"]),
        ("rediss://redis.example.org/0", ["ok", "warning"]),
    ],
)
def test_redis_is_encrypted_and_asks_for_a_password(url: str, states: list[str]) -> None:
    """Whoever reaches it reads every event; the password itself is never said."""
    findings = checks.judge_bus(url)
    assert [finding.state for finding in findings] == states
    assert not any("secret" in english(finding.text) for finding in findings)


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (checks.judge_files(["/data/spool.db"]), checks.judge_files([])),
        (checks.judge_user(0), checks.judge_user(1000)),
        (
            checks.judge_private_addresses(are_all_allowed=True),
            checks.judge_private_addresses(are_all_allowed=False),
        ),
        (
            checks.judge_private_addresses(
                are_all_allowed=False, hosts=["chat.internal", "[fd00::3000]"]
            ),
            checks.judge_private_addresses(
                are_all_allowed=False, hosts=["chat.internal:3000", "[fd00::1]:80"]
            ),
        ),
        (checks.judge_signatures([3, 4]), checks.judge_signatures([])),
        (checks.judge_keys([3]), checks.judge_keys([])),
        (checks.judge_proofs([3], []), checks.judge_proofs([], [])),
        (checks.judge_proofs([], [4]), checks.judge_proofs([], [])),
        (checks.judge_replaced_secrets([3]), checks.judge_replaced_secrets([])),
        (checks.judge_second_factors({1: 2}), checks.judge_second_factors({})),
        (checks.judge_invitations({1: 2}), checks.judge_invitations({})),
        (checks.judge_foreign_attempts({1: 50}), checks.judge_foreign_attempts({})),
        (
            checks.judge_proxies("0.0.0.0", "https://inbox.example.org", "127.0.0.1,::1"),
            checks.judge_proxies("0.0.0.0", "https://inbox.example.org", "127.0.0.1, 10.0.0.0/24"),
        ),
        (
            checks.judge_proxies("0.0.0.0", "https://inbox.example.org", ""),
            checks.judge_proxies("127.0.0.1", "https://inbox.example.org", "127.0.0.1,::1"),
        ),
        (
            checks.judge_proxies("127.0.0.1", "", "*"),
            checks.judge_proxies("0.0.0.0", "http://inbox.example.org", "127.0.0.1,::1"),
        ),
        (
            checks.judge_proxies("127.0.0.1", "", "10.0.0.1,0.0.0.0/0"),
            checks.judge_proxies("127.0.0.1", "", "proxy"),
        ),
        (
            checks.judge_operation(has_token=False, host="0.0.0.0"),
            checks.judge_operation(has_token=True, host="0.0.0.0"),
        ),
        (
            checks.judge_operation(has_token=False, host="::"),
            checks.judge_operation(has_token=False, host="::1"),
        ),
    ],
)
def test_what_is_open_has_a_remedy(bad: Finding, good: Finding) -> None:
    """What is closed is said as well, so that one sees what was looked at."""
    assert (bad.state in ("warning", "failed"), bool(bad.remedy), bad.name) == (
        True,
        True,
        good.name,
    )
    assert good.state == "ok"


def test_long_lists_are_cut_and_counted() -> None:
    """A thousand companies do not fill the screen; how many there are is said."""
    assert english(
        checks.judge_second_factors({number: 1 for number in range(1, 30)}).text
    ).endswith("and 19 companies more")
    assert "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 19 more" in english(
        checks.judge_keys(list(range(1, 30))).text
    )
