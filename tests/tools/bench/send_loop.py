"""The baseline of the fan-out, a process of its own: raw TCP sockets, and a loop that does nothing
but `send`.

Prints its port; takes `COUNT BYTES` (accept so many, send frames of that size), then `ROUNDS RATE`
per line: each round sends one frame to every socket; answers each line, with the CPU seconds those
rounds took.
"""

import socket
import sys
import time


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    _tell(listener.getsockname()[1])
    count, size = map(int, sys.stdin.readline().split())
    connections = []
    for _ in range(count):
        connection, _ = listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 131_072)
        connections.append(connection)
    _tell("ready")
    frame = b"x" * size
    for line in sys.stdin:
        rounds, rate = line.split()
        _tell(_send(connections, frame, int(rounds), float(rate)))


def _send(connections: list[socket.socket], frame: bytes, rounds: int, rate: float) -> float:
    before, started = time.process_time(), time.monotonic()
    for number in range(rounds):
        time.sleep(max(0.0, started + number / rate - time.monotonic()))
        for connection in connections:
            connection.send(frame)
    return time.process_time() - before


def _tell(value: object) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
