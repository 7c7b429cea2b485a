"""A second factor of a sign-in: codes of an authenticator app (TOTP, RFC 6238), and recovery codes
for when the phone is gone.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

import pyotp
import segno

_PERIOD_SECONDS = 30
# clocks of phones are some seconds off, and typing takes a while: 30 s either way
_STEPS_BESIDE = 1
_RECOVERY_CODES = 10
_RECOVERY_BYTES = 10  # 80 bits: too many to try, even with the hashes at hand
_ISSUER = "Omni Inbox"


def new_secret() -> str:
    """Return 160 random bits in base32, as authenticator apps read them."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, account: str) -> str:
    """What an authenticator app reads: `otpauth://totp/...`."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=_ISSUER)


def qr_address(text: str) -> str:
    """A QR code as the address of a picture (`data:image/svg+xml,...`): the page's own rules for
    icons do not reach into it."""
    return segno.make(text, error="m").svg_data_uri(scale=4, border=4, dark="#000", light="#fff")


def matching_step(secret: str, code: str, now_seconds: float, last_step: int) -> int | None:
    """The time step a code belongs to; None for a wrong one and for one that was used already.

    A code counts once: whoever looked over the shoulder is too late.
    """
    digits = "".join(code.split())
    if not (digits.isascii() and digits.isdigit()):
        return None
    totp, current = pyotp.TOTP(secret), int(now_seconds) // _PERIOD_SECONDS
    found = None
    # all of them, in equal time
    for step in range(current - _STEPS_BESIDE, current + _STEPS_BESIDE + 1):
        if hmac.compare_digest(totp.generate_otp(step), digits) and step > last_step:
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Codes that each work once, in groups that are easy to copy by hand."""
    return [_grouped(secrets.token_bytes(_RECOVERY_BYTES).hex()) for _ in range(_RECOVERY_CODES)]


def recovery_code_hash(code: str) -> str | None:
    """What is kept of a recovery code; None for a text that is none."""
    plain = "".join(character for character in code.lower() if character not in "- \t")
    is_code = len(plain) == 2 * _RECOVERY_BYTES and set(plain) <= set("0123456789abcdef")
    return hashlib.sha256(f"recovery {plain}".encode()).hexdigest() if is_code else None


def hashes_of(codes: Sequence[str]) -> list[str]:
    """What is kept of new recovery codes."""
    return [hashed for code in codes if (hashed := recovery_code_hash(code)) is not None]


def _grouped(plain: str) -> str:
    return "-".join(plain[start : start + 5] for start in range(0, len(plain), 5))
