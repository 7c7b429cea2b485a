"""`ssl=true` in DATABASE_URL is a demand: a connection in the clear is not used."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.db import migrations
from server.db.engine.database import Database
from server.errors import ConfigurationError, DatabaseUnavailable
from tests.kit.mariadb import MariaDB

_CIPHER = (
    "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = "
    "'SSL_CIPHER'"
)


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, plain))
    return paths


@pytest.fixture(scope="module")
def encrypted_mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MariaDB, Path]]:
    """A server with TLS, and the certificate to trust."""
    certificate, key = _certificate(tmp_path_factory.mktemp("tls"))
    server = MariaDB(options={"ssl-cert": str(certificate), "ssl-key": str(key)})
    server.start()
    yield server, certificate
    server.close()


async def test_a_connection_in_the_clear_is_not_used(mariadb: MariaDB) -> None:
    """The server offers no TLS: nothing is asked over such a connection, and the sentence says
    why.
    """
    url = f"{mariadb.create_database()}?ssl=true"
    with pytest.raises(ConfigurationError, match="in the clear"):
        migrations.upgrade(url)
    async with Database(url, wait_seconds=2) as database:
        with pytest.raises(DatabaseUnavailable, match="in the clear"):
            await database.fetch_one("SELECT 1")
        assert not database.is_reachable


async def test_a_connection_over_tls_is_used(
    encrypted_mariadb: tuple[MariaDB, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a certificate that is trusted; without, nothing is asked."""
    server, certificate = encrypted_mariadb
    url = f"{server.create_database()}?ssl=true"
    async with Database(url, wait_seconds=2) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.fetch_one("SELECT 1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    migrations.upgrade(url)
    async with Database(url) as database:
        row = await database.fetch_one(_CIPHER)
    assert row is not None
    assert "TLS" in row[0] or "GCM" in row[0] or "CHACHA" in row[0]
