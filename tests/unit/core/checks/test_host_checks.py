"""Each setting that is not fit is told with a remedy; what is fit is told as such."""

import pytest

from server.core.checks import host_checks
from server.problems import english

DURABLE = {
    "innodb_flush_log_at_trx_commit": "1",
    "sync_binlog": "1",
    "innodb_doublewrite": "ON",
    "log_bin": "ON",
}


def test_a_durable_database_is_fit() -> None:
    """As MySQL 8 is set up by itself."""
    assert {finding.state for finding in host_checks.judge_durability(DURABLE)} == {"ok"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("innodb_flush_log_at_trx_commit", "2"), ("sync_binlog", "0"), ("innodb_doublewrite", "OFF")],
)
def test_each_weaker_setting_is_told_with_its_consequence(name: str, value: str) -> None:
    """And with the statement that mends it."""
    [finding] = [
        finding
        for finding in host_checks.judge_durability(DURABLE | {name: value})
        if finding.state != "ok"
    ]
    assert finding.name == name
    assert value in english(finding.text)
    assert english(finding.remedy).startswith(f"SET GLOBAL {name}")


def test_without_a_binary_log_its_sync_does_not_matter() -> None:
    """There is no replica to miss anything."""
    assert "sync_binlog" not in [
        f.name
        for f in host_checks.judge_durability(DURABLE | {"sync_binlog": "0", "log_bin": "OFF"})
    ]


def test_sqlite_has_no_variables_to_judge() -> None:
    """Its settings are ours."""
    assert [
        *host_checks.judge_durability({}),
        *host_checks.judge_connections({}, 8, 4),
        *host_checks.judge_packet({}, 5_000_000),
    ] == []


@pytest.mark.parametrize(
    ("pool", "processes", "state"), [(8, 1, "ok"), (8, 17, "ok"), (8, 18, "failed")]
)
def test_pools_must_fit_with_something_to_spare(pool: int, processes: int, state: str) -> None:
    """151 is what MySQL allows by itself."""
    [finding] = host_checks.judge_connections({"max_connections": "151"}, pool, processes)
    assert finding.state == state


def test_a_packet_smaller_than_a_quoted_webhook_is_told() -> None:
    """MariaDB's 16 MB are enough for 5 MB; 4 MB are not."""
    assert (
        host_checks.judge_packet({"max_allowed_packet": str(1 << 24)}, 5_000_000)[0].state == "ok"
    )
    [finding] = host_checks.judge_packet({"max_allowed_packet": str(1 << 22)}, 5_000_000)
    assert finding.state == "warning"
    assert finding.remedy == f"SET GLOBAL max_allowed_packet = {1 << 24}"


def test_missing_triggers_are_told() -> None:
    """With what happens without them, and what helps."""
    assert host_checks.judge_triggers([]).state == "ok"
    finding = host_checks.judge_triggers(["omni_crm_message_insert"])
    assert (finding.state, "omni_crm_message_insert" in english(finding.text)) == ("warning", True)


@pytest.mark.parametrize(
    ("ahead", "state"), [(0.1, "ok"), (-1.9, "ok"), (3.0, "failed"), (-60.0, "failed")]
)
def test_a_clock_that_goes_wrong_is_told(ahead: float, state: str) -> None:
    """In both directions."""
    assert host_checks.judge_clock("the database", ahead).state == state


def test_few_open_files_are_told_with_what_is_needed() -> None:
    """A socket is a file."""
    assert english(host_checks.judge_files(1024, 20_000).remedy).startswith("LimitNOFILE=20200")
    assert host_checks.judge_files(30_000, 20_000).state == "ok"


def test_a_full_disk_is_a_failure() -> None:
    """By what is left, as a share says little."""
    assert host_checks.judge_disk("the spool", "/data", 10_000_000, 200_000_000).state == "failed"
    assert host_checks.judge_disk("the spool", "/data", 300_000_000, 200_000_000).state == "ok"


@pytest.mark.parametrize(
    ("host", "public", "state"),
    [
        ("127.0.0.1", "", "ok"),
        ("0.0.0.0", "", "warning"),
        ("0.0.0.0", "http://inbox.example.org", "warning"),
        ("0.0.0.0", "https://inbox.example.org", "ok"),
    ],
)
def test_an_address_for_the_world_is_given_and_encrypted(
    host: str, public: str, state: str
) -> None:
    """Loopback alone needs neither."""
    assert host_checks.judge_address(host, public, public or "http://127.0.0.1:8000").state == state


def test_a_slow_redis_and_a_missing_key_are_told() -> None:
    """Both work, and neither should stay so."""
    assert host_checks.judge_bus(0.5, "7.0").state == "warning"
    assert host_checks.judge_bus(0.001, "7.0").state == "ok"
    assert host_checks.judge_key("", 32).remedy
    assert host_checks.judge_key("x" * 31, 32).state == "failed"
    assert host_checks.judge_key("x" * 32, 32).state == "ok"


def test_a_redis_user_with_few_rights_is_a_warning() -> None:
    """The bus works; what cannot be looked at is named."""
    found = host_checks.judge_bus(0.001, None, ["INFO", "TIME"])
    assert found.state == "warning"
    assert "INFO and TIME" in english(found.text)
