"""Ways to a server of a test: TLS before it, with a certificate of an authority made for the test,
and a proxy by CONNECT.
"""

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_HOST = "127.0.0.1"


class Authority:
    """Signs a certificate for 127.0.0.1. `file` is its own, for those who trust it."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "authority.pem"
        self._chain = directory / "server.pem"
        key, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority of these tests")])
        now = datetime.datetime.now(datetime.UTC)
        base = (
            x509.CertificateBuilder()
            .issuer_name(name)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        authority = (
            base.subject_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_HOST))])
        server = (
            base.subject_name(x509.Name([]))
            .public_key(own.public_key())
            .serial_number(2)
            .add_extension(address, critical=True)
            .sign(key, hashes.SHA256())
        )
        self.file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        private = own.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self._chain.write_bytes(private + server.public_bytes(serialization.Encoding.PEM))

    def server_side(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._chain)
        return context

    def client_side(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.file))


@asynccontextmanager
async def tls_before(port: int, authority: Authority) -> AsyncIterator[int]:
    """The port at which that server speaks TLS."""

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _joined(reader, writer, port)

    server = await asyncio.start_server(joined, _HOST, 0, ssl=authority.server_side())
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def connect_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """(its address, what it was asked to connect to)."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        asked.append(f"{method} {target}")
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _joined(reader, writer, int(target.rpartition(":")[2]))

    server = await asyncio.start_server(serve, _HOST, 0)
    async with server:
        yield f"http://{_HOST}:{server.sockets[0].getsockname()[1]}", asked


async def _joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Both directions, until one side ends."""
    try:
        there, back = await asyncio.open_connection(_HOST, port)
    except OSError:
        writer.close()
        return
    async with asyncio.TaskGroup() as group:
        group.create_task(_pump(reader, back))
        group.create_task(_pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The end is passed on, too, so that the other direction ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
