"""The CRM's tokens: keys of each kind and their rotation, claims under other names, and every way
to be fooled.
"""

import hashlib
import hmac
import json
import os
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.access import tokens
from server.access.tokens import Tokens
from server.core.times import iso
from server.errors import ConfigurationError, TokenExpired, Unauthenticated
from server.settings import Settings

SECRET, OLD = "k" * 32, "o" * 32
RSA, OTHER_RSA, SHORT_RSA = (
    rsa.generate_private_key(public_exponent=65537, key_size=size) for size in (2048, 2048, 1024)
)
EC, ED = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()


def _token(
    key: Any = SECRET, algorithm: str = "HS256", number: str | None = None, **claims: Any
) -> str:
    given = {"sub": "17", "companyId": 1, "exp": int(time.time()) + 60} | claims
    headers = {"kid": number} if number else None
    return jwt.encode(
        {name: value for name, value in given.items() if value is not None},
        key,
        algorithm,
        headers=headers,
    )


def _pem(directory: Path, key: Any) -> str:
    path = directory / "public.pem"
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(path)


def _jwk(key: Any, number: str | None, **fields: Any) -> dict[str, Any]:
    kind = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
    }
    algorithm = next(
        (made for base, made in kind.items() if isinstance(key, base)), jwt.algorithms.OKPAlgorithm
    )
    public: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))  # type: ignore[attr-defined]
    return public | ({"kid": number} if number else {}) | fields


def _jwks(directory: Path, *keys: dict[str, Any]) -> str:
    path = directory / "jwks.json"
    path.write_text(json.dumps({"keys": keys}))
    return str(path)


def test_a_shared_secret_is_renewed_without_signing_anyone_out() -> None:
    """Tokens of the secret before are good until they expire; those of a third one are not."""
    both = Tokens(Settings(jwt_secret=SECRET, jwt_secret_previous=OLD))
    assert [both.decode(_token(secret)).subject for secret in (SECRET, OLD)] == ["17", "17"]
    with pytest.raises(Unauthenticated):
        both.decode(_token("t" * 32))
    with pytest.raises(TokenExpired):
        both.decode(_token(OLD, exp=int(time.time()) - 60))
    with pytest.raises(Unauthenticated):
        Tokens(Settings(jwt_secret=SECRET)).decode(_token(OLD))


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS512"), (EC, "ES256"), (ED, "EdDSA")]
)
def test_public_keys_of_each_kind_verify(tmp_path: Path, key: Any, algorithm: str) -> None:
    """As a PEM file and in a JWKS, beside a shared secret or alone."""
    for settings in (
        Settings(jwt_public_key_path=_pem(tmp_path, key), secret_key=SECRET),
        Settings(
            jwt_jwks_path=_jwks(tmp_path, _jwk(key, "a")), jwt_secret=SECRET, secret_key=SECRET
        ),
    ):
        assert Tokens(settings).decode(_token(key, algorithm, "a")).company_id == 1
        settings.check_serving(1)


def test_a_public_key_is_never_a_shared_secret(tmp_path: Path) -> None:
    """The oldest trick: sign with the text of the public key, say HS256."""
    path = _pem(tmp_path, RSA)

    def part(value: dict[str, Any]) -> str:
        return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    body = (
        part({"alg": "HS256", "typ": "JWT"})
        + "."
        + part({"sub": "17", "companyId": 1, "exp": int(time.time()) + 60})
    )
    digest = hmac.new(Path(path).read_bytes(), body.encode(), hashlib.sha256).digest()
    forged = body + "." + urlsafe_b64encode(digest).rstrip(b"=").decode()
    for settings in (
        Settings(jwt_public_key_path=path),
        Settings(jwt_public_key_path=path, jwt_secret=SECRET),
    ):
        with pytest.raises(Unauthenticated):
            Tokens(settings).decode(forged)


def test_keys_of_a_jwks_are_chosen_by_their_number_and_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new key is taken when the file changes, the old one goes with it; a broken file changes
    nothing.
    """
    monkeypatch.setattr(tokens, "_REFRESH_SECONDS", 0.0)
    path = Path(_jwks(tmp_path, _jwk(RSA, "a")))
    keys = Tokens(Settings(jwt_jwks_path=str(path)))
    assert keys.decode(_token(RSA, "RS256", "a")).subject == "17"
    with pytest.raises(Unauthenticated):
        keys.decode(_token(OTHER_RSA, "RS256", "b"))
    _jwks(tmp_path, _jwk(RSA, "a"), _jwk(OTHER_RSA, "b"))
    assert [
        keys.decode(_token(key, "RS256", number)).subject
        for key, number in ((RSA, "a"), (OTHER_RSA, "b"))
    ] == ["17", "17"]
    with pytest.raises(Unauthenticated):
        keys.decode(_token(RSA, "RS256", "b"))
    path.write_text("half a fi")
    assert keys.decode(_token(OTHER_RSA, "RS256", "b")).subject == "17"
    _jwks(tmp_path, _jwk(OTHER_RSA, "b"))
    os.utime(path, (1, 1))
    with pytest.raises(Unauthenticated):
        keys.decode(_token(RSA, "RS256", "a"))


def test_an_emptied_jwks_withdraws_every_key(tmp_path: Path) -> None:
    """At the start it is a mistake; later it is how a leaked key is taken out of service. The
    shared secret stays.
    """
    path = Path(_jwks(tmp_path, _jwk(RSA, "a")))
    keys = Tokens(Settings(jwt_jwks_path=str(path), jwt_secret=SECRET))
    before = keys.names
    assert keys.decode(_token(RSA, "RS256", "a")).key in before
    _jwks(tmp_path)
    keys.read_again()
    assert keys.names < before
    with pytest.raises(Unauthenticated):
        keys.decode(_token(RSA, "RS256", "a"))
    assert keys.decode(_token()).key in keys.names


def test_the_same_key_in_another_file_is_the_same(tmp_path: Path) -> None:
    """Nobody is signed out because the file was written anew, under other numbers and in another
    order.
    """
    path = Path(_jwks(tmp_path, _jwk(RSA, "a"), _jwk(EC, "b")))
    keys = Tokens(Settings(jwt_jwks_path=str(path)))
    before = keys.names
    _jwks(tmp_path, _jwk(EC, "other"), _jwk(RSA, "names"))
    keys.read_again()
    assert keys.names == before


@pytest.mark.parametrize(
    "claims", [{"exp": 1e300}, {"exp": 10**400}, {"iat": -1e300}, {"name": "\ud800"}], ids=str
)
def test_odd_claims_are_kept_within_what_can_be_written(claims: dict[str, Any]) -> None:
    """A time that no clock will show is the last one; a name that is no text is none."""
    found = Tokens(Settings(jwt_secret=SECRET)).decode(_token(**claims))
    assert found.issued_us >= 0
    assert iso(int(found.expires_at * 1e6)) < "9999"
    found.name.encode()


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": "x"},
        {"iat": float("inf")},
        {"sub": "\ud800"},
        {"sub": 10**400},
    ],
    ids=str,
)
def test_claims_that_mean_nothing_are_refused(claims: dict[str, Any]) -> None:
    """Never an error of ours."""
    with pytest.raises(Unauthenticated):
        Tokens(Settings(jwt_secret=SECRET)).decode(_token(**claims))


def test_keys_for_other_purposes_are_passed_over(tmp_path: Path) -> None:
    """Encryption keys, shared secrets, kinds we do not know, and an algorithm the key was not made
    for.
    """
    oct_key = {"kty": "oct", "k": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr", "alg": "HS256"}
    path = _jwks(
        tmp_path,
        oct_key,
        {"kty": "new"},
        _jwk(RSA, "a", use="enc"),
        _jwk(OTHER_RSA, "b", alg="RS512"),
    )
    keys = Tokens(Settings(jwt_jwks_path=path))
    for refused in (
        _token("k" * 30 + "kk"),
        _token(RSA, "RS256", "a"),
        _token(OTHER_RSA, "RS256", "b"),
    ):
        with pytest.raises(Unauthenticated):
            keys.decode(refused)
    assert keys.decode(_token(OTHER_RSA, "RS512", "b")).subject == "17"


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"keys": []}', '{"keys": [1, {"kty": "oct"}]}']
)
def test_a_jwks_without_a_key_stops_the_start(tmp_path: Path, content: str) -> None:
    """With the setting's name."""
    path = tmp_path / "jwks.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="JWT_JWKS_PATH"):
        Tokens(Settings(jwt_jwks_path=str(path)))


def test_a_key_that_is_missing_or_weak_stops_the_start(tmp_path: Path) -> None:
    """Rather than refusing everybody later."""
    for path in (str(tmp_path / "none.pem"), _pem(tmp_path, SHORT_RSA)):
        with pytest.raises(ConfigurationError, match="JWT_PUBLIC_KEY_PATH"):
            Tokens(Settings(jwt_public_key_path=path))


def test_claims_under_other_names() -> None:
    """As an identity provider gives them: nested addresses as names, roles as a list."""
    settings = Settings(
        jwt_secret=SECRET,
        jwt_company_claim="https://crm.example/company",
        jwt_subject_claim="uid",
        jwt_name_claim="full_name",
        jwt_role_claim="roles",
        jwt_admin_roles="owner, manager",
    )
    claims: dict[str, Any] = {
        "sub": None,
        "companyId": None,
        "https://crm.example/company": "7",
        "uid": 9,
        "full_name": "Asha",
    }
    found = [
        Tokens(settings).decode(_token(**claims, roles=roles))
        for roles in (["staff", "manager"], "owner", ["staff"], "admin", None)
    ]
    assert {(one.company_id, one.subject, one.name) for one in found} == {(7, "9", "Asha")}
    assert [one.role for one in found] == ["admin", "admin", "agent", "agent", None]


def test_issuer_and_audience_are_wanted_where_they_are_set() -> None:
    """A token of the same keys for another program is not one for us."""
    keys = Tokens(Settings(jwt_secret=SECRET, jwt_issuer="crm", jwt_audience="inbox"))
    assert keys.decode(_token(iss="crm", aud=["inbox", "other"])).subject == "17"
    for claims in (
        {"iss": "crm"},
        {"aud": "inbox"},
        {"iss": "other", "aud": "inbox"},
        {"iss": "crm", "aud": "other"},
    ):
        with pytest.raises(Unauthenticated):
            keys.decode(_token(**claims))
    assert Tokens(Settings(jwt_secret=SECRET)).decode(_token(iss="any", aud="any")).subject == "17"


def test_clocks_may_differ_by_the_leeway() -> None:
    """On both ends."""
    keys, now = Tokens(Settings(jwt_secret=SECRET, jwt_leeway_seconds=30)), int(time.time())
    assert keys.decode(_token(exp=now - 20, nbf=now + 20, iat=now + 20)).subject == "17"
    with pytest.raises(TokenExpired):
        keys.decode(_token(exp=now - 40))
    with pytest.raises(Unauthenticated):
        keys.decode(_token(nbf=now + 60))
