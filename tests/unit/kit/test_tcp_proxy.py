"""The proxy passes everything, and breaks exactly what it is told to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.kit.eventually import eventually
from tests.kit.tcp_proxy import TcpProxy


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    """A proxy before a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # cut by the test
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, TcpProxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def _connect(proxy: TcpProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def _is_silent(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(0.05):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def test_passes_large_data_and_the_end(proxy: TcpProxy) -> None:
    """A megabyte and a half-close go through and come back whole."""
    reader, writer = await _connect(proxy)
    sent = bytes(range(256)) * 4096
    async with asyncio.TaskGroup() as tasks:
        received = tasks.create_task(reader.read(-1))
        writer.write(sent)
        writer.write_eof()
    assert received.result() == sent
    assert proxy.passed_bytes == {"to_client": len(sent), "to_server": len(sent)}
    writer.close()
    assert await eventually(lambda: proxy.open_count == 0)


async def test_cut_all_resets(proxy: TcpProxy) -> None:
    """The client gets a reset, not an orderly end; the next connection works."""
    reader, writer = await _connect(proxy)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    assert proxy.cut_all() == 1
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()
    reader, writer = await _connect(proxy)
    writer.write(b"y")
    assert await reader.readexactly(1) == b"y"
    writer.close()


async def test_freeze_loses_nothing(proxy: TcpProxy) -> None:
    """Frozen, nothing passes, on old and new connections; thawed, everything arrives."""
    reader, writer = await _connect(proxy)
    writer.write(b"1")
    assert await reader.readexactly(1) == b"1"
    proxy.freeze()
    late_reader, late_writer = await _connect(proxy)
    writer.write(b"2")
    late_writer.write(b"3")
    assert await _is_silent(reader)
    assert await _is_silent(late_reader)
    proxy.thaw()
    assert await reader.readexactly(1) == b"2"
    assert await late_reader.readexactly(1) == b"3"
    writer.close()
    late_writer.close()


async def test_delays_in_order(proxy: TcpProxy) -> None:
    """A delay holds for each direction, and later bytes never pass earlier ones, even when it is
    lowered.
    """
    reader, writer = await _connect(proxy)
    proxy.delay_seconds = 0.1
    started = asyncio.get_running_loop().time()
    writer.write(b"1")
    await asyncio.sleep(0.02)  # two packets, not one
    proxy.delay_seconds = 0.0
    writer.write(b"2")
    assert await reader.readexactly(2) == b"12"
    assert asyncio.get_running_loop().time() - started >= 0.09
    writer.close()


async def test_refuses_new_and_keeps_old(proxy: TcpProxy) -> None:
    """Refusing is for new connections only."""
    reader, writer = await _connect(proxy)
    writer.write(b"1")
    assert await reader.readexactly(1) == b"1"
    proxy.refuse_new()
    refused_reader, refused_writer = await _connect(proxy)
    with pytest.raises(ConnectionResetError):
        await refused_reader.read(1)
    refused_writer.close()
    writer.write(b"2")
    assert await reader.readexactly(1) == b"2"
    proxy.accept_new()
    third_reader, third_writer = await _connect(proxy)
    third_writer.write(b"3")
    assert await third_reader.readexactly(1) == b"3"
    writer.close()
    third_writer.close()


async def test_cuts_after_exactly_so_many_bytes(proxy: TcpProxy) -> None:
    """Three bytes of the answer arrive, then a reset."""
    reader, writer = await _connect(proxy)
    proxy.cut_after(3)
    writer.write(b"12345")
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(5)
    assert proxy.passed_bytes == {"to_client": 3, "to_server": 5}
    writer.close()


async def test_cuts_in_place_of_the_answer(proxy: TcpProxy) -> None:
    """With 0 the server got everything and the client learns nothing."""
    reader, writer = await _connect(proxy)
    proxy.cut_after(0)
    writer.write(b"12345")
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    assert proxy.passed_bytes == {"to_client": 0, "to_server": 5}
    writer.close()


async def test_a_dead_server_resets_the_client() -> None:
    """Nobody behind the proxy is not a silent hang."""
    async with TcpProxy(1) as proxy:
        reader, writer = await _connect(proxy)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()


async def test_clients_that_lost_their_power_are_waited_for(proxy: TcpProxy) -> None:
    """The server's side of the connection stays open and silent, though the client is gone; new
    clients are served.
    """
    heard = list[bytes]()
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                heard.append(data)
            heard.append(b"FIN")
        except ConnectionError:
            heard.append(b"RST")
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server, TcpProxy(server.sockets[0].getsockname()[1]) as proxy:
        _, writer = await _connect(proxy)
        writer.write(b"before")
        await eventually(lambda: heard == [b"before"])
        assert len(proxy.server_side_ports()) == 1
        assert proxy.lose_clients() == 1
        writer.close()
        _, other = await _connect(proxy)
        other.write(b"another")
        await eventually(lambda: heard == [b"before", b"another"])
        assert not ended.is_set()
        proxy.forget_lost_clients()
        await eventually(lambda: heard == [b"before", b"another", b"RST"])
        other.close()
