"""Codes count once, near their time, and never twice; recovery codes are kept as hashes alone."""

import pyotp
import pytest

from server.core import second_factor_rules as factor

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"  # pragma: allowlist secret
NOW = 1_800_000_015.0
STEP = int(NOW) // 30


@pytest.mark.parametrize(
    ("steps", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_a_code_is_right_for_half_a_minute_either_way(steps: int, is_right: bool) -> None:
    """Phones' clocks are some seconds off."""
    code = pyotp.TOTP(SECRET).at(int(NOW) + steps * 30)
    assert factor.matching_step(SECRET, code, NOW, 0) == (STEP + steps if is_right else None)


def test_a_code_counts_once() -> None:
    """Nor does an older one after it."""
    code, before = pyotp.TOTP(SECRET).at(int(NOW)), pyotp.TOTP(SECRET).at(int(NOW) - 30)
    assert factor.matching_step(SECRET, f" {code[:3]} {code[3:]} ", NOW, STEP - 1) == STEP
    assert factor.matching_step(SECRET, code, NOW, STEP) is None
    assert factor.matching_step(SECRET, before, NOW, STEP) is None


@pytest.mark.parametrize(
    "text", ["", "12345", "abcdef", "１２３４５６", "১২৩৪৫৬", "-12345", "0" * 10_000]
)
def test_what_is_no_code_is_wrong(text: str) -> None:
    """Whatever was typed."""
    assert factor.matching_step(SECRET, text, NOW, 0) is None


def test_recovery_codes_are_found_by_their_hash_alone() -> None:
    """In capitals, with spaces or without the hyphens as well."""
    codes = factor.new_recovery_codes()
    assert len(set(codes)) == 10
    hashes = factor.hashes_of(codes)
    assert factor.recovery_code_hash(codes[0].upper().replace("-", " ")) == hashes[0]
    assert not any(
        code.replace("-", "") in hashed for code, hashed in zip(codes, hashes, strict=True)
    )
    assert [
        factor.recovery_code_hash(text) for text in ("", "123456", codes[0][:-1], codes[0] + "0")
    ] == [None] * 4


def test_the_picture_holds_what_the_app_reads() -> None:
    """As the address of a picture: no script, nothing fetched."""
    uri = factor.provisioning_uri(factor.new_secret(), "rahim@example.org")
    assert uri.startswith("otpauth://totp/Omni%20Inbox:rahim%40example.org?secret=")
    picture = factor.qr_address(uri)
    assert picture.startswith("data:image/svg+xml")
    assert not any(word in picture for word in ("script", "style", "href"))
