"""Settings: read from the environment once, each contradiction with a sentence that names the
variable.
"""

import re
from typing import Any

import pytest

from server.errors import ConfigurationError
from server.settings import (
    Settings,
    describe,
    new_secret,
    sqlite_path,
)

SECRET = "x" * 32


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"DATABASE_URL": "postgres://x"},
            "DATABASE_URL must begin with sqlite:/// or mysql://, not postgres:",
        ),
        ({"BROADCAST_URL": "kafka://x"}, "BROADCAST_URL must be memory:// or redis://"),
        ({"PUBLIC_URL": "inbox.example.org"}, "PUBLIC_URL must begin with http:// or https://"),
        (
            {"PUBLIC_URL": "https://example.org/inbox"},
            "PUBLIC_URL must not have a path, as /inbox is",
        ),
        (
            {"PUBLIC_URL": "https://example.org/inbox/"},
            "Give the inbox a host name or a port of its own",
        ),
        (
            {"PUBLIC_URL": "https://example.org/?a=1"},
            "PUBLIC_URL must end after the host and the port",
        ),
        (
            {"PUBLIC_URL": "https://me:pw@example.org"},
            "PUBLIC_URL must not hold a user or a password",
        ),
        ({"PUBLIC_URL": "https://"}, "PUBLIC_URL must name a host"),
        ({"PUBLIC_URL": "https://exam ple.org"}, "PUBLIC_URL must name a host"),
        ({"PUBLIC_URL": "http://fd00::1:8000"}, "an IPv6 address stands in brackets"),
        ({"PUBLIC_URL": "http://[fd00::1"}, "an IPv6 address stands in brackets"),
        ({"PUBLIC_URL": "http://example.org:port"}, "PUBLIC_URL must be an address as"),
        ({"PING_SECONDS": "45"}, "SOCKET_SILENCE_SECONDS must be larger than PING_SECONDS"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR"),
        ({"PORT": "http"}, "PORT must be a whole number, not 'http'"),
        ({"PORT": "-1"}, "PORT must be between 0 and 65,535, not -1"),
        ({"PORT": "65536"}, "PORT must be between 0 and 65,535, not 65536"),
        ({"HEAD_CHECK_SECONDS": "0"}, "HEAD_CHECK_SECONDS must be between 0.05 and 60, not 0.0"),
        ({"DATABASE_POOL": "1"}, "DATABASE_POOL must be between 2 and 500, not 1"),
        (
            {"SPOOL_MAX_BYTES": "0"},
            "SPOOL_MAX_BYTES must be between 100,000 and 10,000,000,000,000, not 0",
        ),
        ({"PORT": "80.5"}, "PORT must be a whole number"),
        ({"HELLO_SECONDS": "five"}, "HELLO_SECONDS must be a number, not 'five'"),
        ({"OPERATION_TOKEN": "short"}, "OPERATION_TOKEN must be at least 16 bytes"),
        (
            {"REQUIRE_WEBHOOK_SIGNATURE": "maybe"},
            "REQUIRE_WEBHOOK_SIGNATURE must be true or false, not 'maybe'",
        ),
    ],
)
def test_a_contradiction_is_said_in_a_sentence(environ: dict[str, str], sentence: str) -> None:
    """It stops the start, and says what to set."""
    with pytest.raises(ConfigurationError, match=sentence):
        Settings.from_environment(environ)


@pytest.mark.parametrize("name", ["DATABASE_URL", "BROADCAST_URL"])
@pytest.mark.parametrize(
    "password",
    ["my#secret", "my/secret", "my?secret", "12#secret", "12/secret", "[my]secret", "12?se#cr/et"],
)
def test_an_address_that_is_cut_by_its_password_shows_nothing_of_it(
    name: str, password: str
) -> None:
    """One sentence that says to escape it."""
    scheme = {"DATABASE_URL": "mysql", "BROADCAST_URL": "redis"}[name]
    with pytest.raises(ConfigurationError, match=f"{name} cannot be read.*# as %23") as refused:
        Settings.from_environment({name: f"{scheme}://{'omni'}:{password}@db.example:3306/inbox"})
    assert not any(part in str(refused.value) for part in ("secret", "my", "12", "omni", "example"))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("password", ["my%23secret", "my@secret", "my:secret", "%2F%3F", ""])
def test_an_escaped_password_is_an_address(password: str) -> None:
    """As are those signs that the last @ makes clear."""
    url = f"mysql://{'omni'}:{password}@db.example:3306/inbox"
    assert Settings.from_environment({"DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    ("environ", "base_url"),
    [
        ({"HOST": "::1", "PORT": "80"}, "http://[::1]:80"),
        ({"HOST": "[fd00::5]"}, "http://[fd00::5]:8000"),
        ({"HOST": "::"}, "http://[::1]:8000"),
        ({"HOST": "0.0.0.0"}, "http://127.0.0.1:8000"),
        ({"HOST": "inbox.lan"}, "http://inbox.lan:8000"),
        ({"PUBLIC_URL": "https://inbox.example.org/"}, "https://inbox.example.org"),
        ({"PUBLIC_URL": "http://[fd00::5]:8000"}, "http://[fd00::5]:8000"),
    ],
)
def test_the_address_can_be_opened_as_it_is_shown(environ: dict[str, str], base_url: str) -> None:
    """IPv6 in brackets, and something better than "every address"."""
    settings = Settings.from_environment(environ)
    assert settings.base_url == base_url
    assert settings.webhook_url == f"{base_url}/api/webhooks/chatwoot"


def test_a_log_level_is_understood_in_small_letters() -> None:
    """As other programs take it."""
    assert Settings.from_environment({"LOG_LEVEL": "debug"}).log_level == "DEBUG"


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e300", "-0.5"])
@pytest.mark.parametrize(
    "name", [name for name, default, _ in describe() if re.fullmatch(r"\d+(\.\d+)?", default)]
)
def test_no_number_is_without_bounds(name: str, text: str) -> None:
    """What is not finite, or below nothing, stops the start: no loop waits for a time like that."""
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        Settings.from_environment({name: text})


def test_the_defaults_are_within_their_bounds() -> None:
    """And a command's options are judged like the environment."""
    Settings.from_environment({})
    with pytest.raises(ConfigurationError, match="PORT must be between 0 and 65,535"):
        Settings.from_environment({}, {"port": 70_000})


@pytest.mark.parametrize(
    ("overrides", "workers", "sentence"),
    [
        ({"jwt_secret": "x" * 31}, 1, "JWT_SECRET must be at least 32 bytes"),
        ({"secret_key": ""}, 1, "SECRET_KEY is not set.*STORE_TOKENS_UNENCRYPTED=true"),
        ({"secret_key": "é" * 15}, 1, "SECRET_KEY must be at least 32 bytes.*SECRET_KEY_PREVIOUS"),
        ({}, 2, "SQLite serves one process"),
        ({"database_url": "mysql://a:b@c/d"}, 2, "The bus memory:// serves one process"),
    ],
)
def test_serving_asks_for_more(overrides: dict[str, Any], workers: int, sentence: str) -> None:
    """A short secret can be guessed; files and memory are not shared."""
    settings = Settings.from_environment({"JWT_SECRET": SECRET, "SECRET_KEY": SECRET}, overrides)
    with pytest.raises(ConfigurationError, match=sentence):
        settings.check_serving(workers)


def test_what_fits_together_serves() -> None:
    """One process with everything embedded; several on MySQL and Redis; bytes are counted, not
    characters.
    """
    Settings.from_environment({"JWT_SECRET": "é" * 16, "SECRET_KEY": "é" * 16}).check_serving(1)
    in_clear = {"JWT_SECRET": SECRET, "STORE_TOKENS_UNENCRYPTED": "true"}
    Settings.from_environment(in_clear).check_serving(1)
    urls = {"DATABASE_URL": "mariadb://a:b@c/d", "BROADCAST_URL": "rediss://c"}
    shared = Settings.from_environment({"JWT_SECRET": SECRET, "SECRET_KEY": SECRET, **urls})
    shared.check_serving(8)
    assert not shared.is_sqlite
    assert not shared.is_memory_bus


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("False", False), ("no", False)],
)
def test_yes_and_no_in_every_form(text: str, value: bool) -> None:
    """As people write them."""
    assert (
        Settings.from_environment({"REQUIRE_WEBHOOK_SIGNATURE": text}).require_webhook_signature
        is value
    )


def test_the_environment_then_the_options() -> None:
    """Options of a command win; an empty variable is one that is not set."""
    settings = Settings.from_environment(
        {"PORT": "9000", "HOST": "", "PING_SECONDS": "1.5"}, {"port": 7000}
    )
    assert (settings.port, settings.host, settings.ping_seconds) == (7000, "127.0.0.1", 1.5)


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else in the program reads it."""
    monkeypatch.setenv("SESSION_HOURS", "3")
    assert Settings.from_environment().session_hours == 3


@pytest.mark.parametrize(
    ("given", "base"),
    [("", "http://h:1"), ("https://inbox.example.org/", "https://inbox.example.org")],
)
def test_addresses_come_without_a_slash_at_the_end(given: str, base: str) -> None:
    """The webhook's address is built from the public one."""
    settings = Settings(public_url=given, host="h", port=1)
    assert (settings.base_url, settings.webhook_url) == (base, f"{base}/api/webhooks/chatwoot")


def test_every_setting_describes_itself() -> None:
    """With a name, a default and a text for the documentation."""
    described = {name: text for name, _, text in describe()}
    assert described["PING_SECONDS"]
    assert all(described.values())
    assert len(new_secret()) == 64


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///data/x.db", "data/x.db"), ("sqlite:////var/x.db?mode=rw", "/var/x.db")],
)
def test_the_file_behind_an_address(url: str, path: str) -> None:
    """Three slashes are relative, four absolute."""
    assert str(sqlite_path(url)) == path
