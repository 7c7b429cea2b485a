"""Chatwoot's signature: the published vector fits, and nothing near it does."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.chatwoot.signatures import is_signed, sign
from tests.kit.webhook import PAYLOADS

VECTOR = json.loads(Path(PAYLOADS / "signature_vector.json").read_text(encoding="utf-8"))
SECRET, TIMESTAMP, SIGNATURE = (
    VECTOR["secret"],
    VECTOR["X-Chatwoot-Timestamp"],
    VECTOR["X-Chatwoot-Signature"],
)
BODY = VECTOR["body_utf8"].encode()
SENT = float(TIMESTAMP)


def _is_good(
    signature: str | None = SIGNATURE,
    timestamp: str | None = TIMESTAMP,
    body: bytes = BODY,
    now: float = SENT,
) -> bool:
    return is_signed(SECRET, signature, timestamp, body, now, 300)


def test_the_vector_fits() -> None:
    """The same bytes, secret and time give the same signature."""
    assert sign(SECRET, TIMESTAMP, BODY) == SIGNATURE
    assert _is_good()


@pytest.mark.parametrize("now", [SENT - 300, SENT + 300])
def test_the_edge_of_the_tolerance_is_good(now: float) -> None:
    """Clocks differ to both sides."""
    assert _is_good(now=now)


@pytest.mark.parametrize("now", [SENT - 301, SENT + 301, 0.0])
def test_old_and_future_are_refused(now: float) -> None:
    """A recorded delivery cannot be played again later."""
    assert not _is_good(now=now)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        SIGNATURE.upper(),
        SIGNATURE[7:],
        f"{SIGNATURE} ",
        "sha256=é",
        "\ud800",
        "১২৩",
    ],
)
def test_a_signature_in_any_other_form_is_refused(signature: str | None) -> None:
    """Missing, shortened, in capitals, not ASCII: never an exception."""
    assert not _is_good(signature=signature)


@pytest.mark.parametrize(
    "timestamp", [None, "", "-1", "1784365266.0", "٣", "²", "9" * 13, " 1784365266", "1784365267"]
)
def test_a_timestamp_in_any_other_form_is_refused(timestamp: str | None) -> None:
    """It is part of what is signed, and a whole number of at most twelve digits."""
    assert not _is_good(timestamp=timestamp)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_one_byte_changed_is_refused(place: int, change: int) -> None:
    """Whichever byte it is."""
    body = bytearray(BODY)
    body[place] ^= change
    assert not _is_good(body=bytes(body))


def test_another_secret_is_refused() -> None:
    """The same body signed by another installation."""
    assert not is_signed(SECRET + "x", SIGNATURE, TIMESTAMP, BODY, SENT, 300)
