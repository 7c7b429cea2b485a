"""The CRM's tokens: which keys sign them and which claims tell who is asking.

Keys: a shared secret (and the one before it), a public key file, or a JWKS file, which is read
again when it changes. Each key verifies the algorithms of its own kind only: a public key is never
taken for a shared secret, whatever a token's header says.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from server import log
from server.core.identifiers import parse_id
from server.core.subjects import LOCAL_CLAIM, is_local
from server.core.times import SECOND
from server.errors import ConfigurationError, TokenExpired, Unauthenticated
from server.settings import Settings

_logger = log.get(__name__)
_MAX_SUBJECT_CHARACTERS = 128
_LATEST_SECONDS = 253_370_764_799  # the end of year 9998, as in core/times
# between two checks of the files at least: a stranger's tokens must not make us read all the time
_REFRESH_SECONDS = 2.0
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_MIN_RSA_BITS = 2048


class Claims(msgspec.Struct, frozen=True):
    """The claims of a verified token; `role` is None where it names none that we know."""

    company_id: int
    subject: str
    name: str
    role: str | None
    issued_us: int
    expires_at: float
    key: str = ""  # the name of the key that verified it, as in `Tokens.names`


class _Key(msgspec.Struct, frozen=True):
    material: Any
    algorithms: tuple[str, ...]
    number: str | None = None  # `kid`
    name: str = "shared"  # of what it is made of: the same key in another file has the same


class Tokens:
    """Verifies tokens. Raises ConfigurationError at the start for key files that cannot be used."""

    def __init__(self, settings: Settings, now_seconds: Callable[[], float] = time.time) -> None:
        """`now_seconds`: the clock by which tokens begin and end, in unix seconds."""
        self._settings = settings
        self._now_seconds = now_seconds
        secrets = (settings.jwt_secret, settings.jwt_secret_previous)
        self._shared = [_Key(secret, ("HS256",)) for secret in secrets if secret]
        self._files = [
            Path(path) for path in (settings.jwt_public_key_path, settings.jwt_jwks_path) if path
        ]
        self._public: list[_Key] = []
        self._read_at = 0.0
        self._stamps = self._stamp()
        self._public = self._read()

    def decode(self, token: str) -> Claims:
        """The claims of a token that counts. Raises TokenExpired or Unauthenticated."""
        header = _header(token)
        self.refresh_if_due()
        for key in self._candidates(header):
            claims = self._verified(token, key)
            if claims is not None:
                return self._claims(claims, key.name)
        raise Unauthenticated("The token is not valid here")

    def _candidates(self, header: dict[str, Any]) -> list[_Key]:
        algorithm, number = header.get("alg"), header.get("kid")
        fitting = [key for key in (*self._shared, *self._public) if algorithm in key.algorithms]
        named = [key for key in fitting if key.number is not None and key.number == number]
        return named or [key for key in fitting if key.number is None or number is None]

    def _verified(self, token: str, key: _Key) -> dict[str, Any] | None:
        """The claims; None when another key may have signed it."""
        settings = self._settings
        subject = settings.jwt_subject_claim
        options: Any = {
            "require": ["exp", subject],
            "verify_aud": bool(settings.jwt_audience),
            "verify_sub": False,
        }
        # by `_check_times`
        options |= {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.material,
                algorithms=list(key.algorithms),
                audience=settings.jwt_audience or None,
                issuer=settings.jwt_issuer or None,
                options=options,
            )
            self._check_times(claims)
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except jwt.InvalidSignatureError:
            return None
        # the last three: times that are no moment, such as Infinity
        except (jwt.InvalidTokenError, OverflowError, ValueError, TypeError):
            raise Unauthenticated("The token is not valid here") from None
        return claims

    def _check_times(self, claims: dict[str, Any]) -> None:
        """As PyJWT does, which asks this machine's clock: an hour's error there would be an hour of
        a token's life. Raises what PyJWT raises, and OverflowError, ValueError or TypeError for
        what is no moment.
        """
        now, leeway = self._now_seconds(), self._settings.jwt_leeway_seconds
        if any(int(claims[name]) > now + leeway for name in ("iat", "nbf") if name in claims):
            raise jwt.ImmatureSignatureError
        if int(claims["exp"]) <= now - leeway:
            raise jwt.ExpiredSignatureError

    def refresh_if_due(self) -> None:
        """Reads key files that changed, every two seconds at most."""
        now = time.monotonic()
        if now - self._read_at >= _REFRESH_SECONDS:
            self._read_at = now
            self.read_again()

    @property
    def names(self) -> frozenset[str]:
        """The keys that count now. What was verified by another one has ended with it."""
        return frozenset(key.name for key in (*self._shared, *self._public))

    def read_again(self) -> None:
        """Reads files that have changed; one that cannot be read leaves the keys as they are,
        one without keys leaves none.
        """
        stamps = self._stamp()
        if stamps == self._stamps:
            return
        try:
            self._public = self._read(is_start=False)
        except ConfigurationError as error:
            # its sentence says it all
            _logger.error("keys of tokens left as they were", problem=error.message)  # noqa: TRY400
            return
        self._stamps = stamps
        _logger.info("keys of tokens read again", keys=len(self._public))

    def _claims(self, claims: dict[str, Any], key: str) -> Claims:
        settings = self._settings
        company = parse_id(claims.get(settings.jwt_company_claim))
        subject = claims[settings.jwt_subject_claim]
        if isinstance(subject, int) and not isinstance(subject, bool):
            subject = str(subject)
        if company is None:
            raise Unauthenticated(
                f"The token names no company in its claim {settings.jwt_company_claim}"
            )
        if (
            not isinstance(subject, str)
            or not 0 < len(subject) <= _MAX_SUBJECT_CHARACTERS
            or not _is_text(subject)
        ):
            raise Unauthenticated(
                f"The token names no agent in its claim {settings.jwt_subject_claim}"
            )
        if is_local(subject) and claims.get(LOCAL_CLAIM) is not True:
            raise Unauthenticated("The token is not valid here")
        name, issued = claims.get(settings.jwt_name_claim), claims.get("iat", 0)
        return Claims(
            company_id=company,
            subject=subject,
            name=name[:255] if isinstance(name, str) and name and _is_text(name) else subject,
            role=self._role(claims.get(settings.jwt_role_claim)),
            issued_us=int(_moment(issued) * SECOND),
            expires_at=_moment(claims["exp"]),
            key=key,
        )

    def _role(self, claim: object) -> str | None:
        """Our role for the CRM's word; a list of words counts when one of them is an
        administrator's.
        """
        listed = claim if isinstance(claim, list) else [claim]
        words = [word for word in listed if isinstance(word, str)]
        if not words:
            return None
        if any(word in self._settings.admin_roles for word in words):
            return "admin"
        return "agent" if "agent" in words or self._settings.jwt_admin_roles != "admin" else None

    def _stamp(self) -> list[tuple[int, int, int] | None]:
        return [
            (stat.st_mtime_ns, stat.st_size, stat.st_ino) if (stat := _stat(path)) else None
            for path in self._files
        ]

    def _read(self, *, is_start: bool = True) -> list[_Key]:
        found: list[_Key] = []
        if self._settings.jwt_public_key_path:
            found += [_public_key(_text(self._settings.jwt_public_key_path, "JWT_PUBLIC_KEY_PATH"))]
        if self._settings.jwt_jwks_path:
            found += _jwks(_text(self._settings.jwt_jwks_path, "JWT_JWKS_PATH"), is_start=is_start)
        return found


def _header(token: str) -> dict[str, Any]:
    try:
        return dict(jwt.get_unverified_header(token))
    except (jwt.InvalidTokenError, RecursionError, UnicodeEncodeError):
        raise Unauthenticated("The token is not valid here") from None


def _public_key(pem: str) -> _Key:
    try:
        material = load_pem_public_key(pem.encode())
    except ValueError:
        raise ConfigurationError(
            "JWT_PUBLIC_KEY_PATH must hold a public key in PEM form (-----BEGIN PUBLIC KEY-----)"
        ) from None
    algorithms = _algorithms_of(material)
    if not algorithms:
        raise ConfigurationError(
            "JWT_PUBLIC_KEY_PATH must hold an RSA key of 2,048 bits or more, an EC key (P-256, "
            "P-384, P-521) or Ed25519"
        )
    return _Key(material, algorithms, name=_name(material, algorithms))


def _name(material: Any, algorithms: tuple[str, ...]) -> str:
    der = material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der + " ".join(algorithms).encode()).hexdigest()[:32]


def _is_text(value: str) -> bool:
    """Half a surrogate pair, which JSON may hold, can be neither stored nor sent."""
    return all(not "\ud800" <= character <= "\udfff" for character in value)


def _moment(value: object) -> float:
    """Unix seconds of a claim that may be any number; one that no clock will ever show is the last
    that can be written.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return 0.0
    return float(min(max(value, 0), _LATEST_SECONDS)) if value == value else 0.0


def _jwks(text: str, *, is_start: bool) -> list[_Key]:
    """Keys for signatures; others, and kinds we do not know, are passed over, as RFC 7517 wants.
    None at all is a mistake at the start; later it is how all of them are withdrawn.
    """
    try:
        listed: Sequence[Any] = json.loads(text)["keys"]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError('JWT_JWKS_PATH must hold a JWKS: {"keys": [...]}') from None
    found = []
    for one in listed:
        if not isinstance(one, dict) or one.get("kty") == "oct" or one.get("use", "sig") != "sig":
            continue
        try:
            material = jwt.PyJWK(one).key
        except (jwt.PyJWKError, jwt.InvalidKeyError):
            continue
        algorithms = tuple(
            name for name in _algorithms_of(material) if one.get("alg") in (None, name)
        )
        if algorithms:
            found.append(_Key(material, algorithms, one.get("kid"), _name(material, algorithms)))
    if not found and is_start:
        raise ConfigurationError(
            "JWT_JWKS_PATH holds no key that can verify a token (RSA, EC or Ed25519, for "
            "signatures)"
        )
    return found


def _algorithms_of(material: object) -> tuple[str, ...]:
    if isinstance(material, RSAPublicKey):
        return (
            ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
            if material.key_size >= _MIN_RSA_BITS
            else ()
        )
    if isinstance(material, EllipticCurvePublicKey):
        return (_CURVES[material.curve.name],) if material.curve.name in _CURVES else ()
    return ("EdDSA",) if isinstance(material, Ed25519PublicKey) else ()


def _stat(path: Path) -> Any:
    try:
        return path.stat()
    except OSError:
        return None


def _text(path: str, name: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name} cannot be read: {type(error).__name__}") from None
