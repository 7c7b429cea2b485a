"""The load harness's agent as a program for the kit: `python -m tests.conformance.agent ws://...`.

It conforms but in one point, on purpose: a number that does not follow is counted as a fault of the
server, and taken as it is.
"""

import json
import sys
import time
from urllib.parse import urlsplit

from server.lab.load.agents import Agent, Target
from server.lab.load.counters import Counters
from server.lab.load.frame_reader import Piece
from server.lab.load.loop import Loop
from tests.conformance.conversations import FRAMES

_END_SECONDS = 60.0


def main(url: str) -> None:
    """Prints the number of each event it is given; ends after a final close code."""
    parts = urlsplit(url)
    loop, told = Loop(), set[int]()
    is_over = False

    def read_piece(data: bytes) -> Piece:
        piece = Piece(data)
        # of a mixed piece each frame comes once more by itself
        for seq in range(piece.first, piece.last + 1) if piece.first and not piece.is_mixed else ():
            if seq not in told:
                told.add(seq)
                print(seq, flush=True)
        return piece

    def on_gone(agent: Agent, after: float | None) -> None:
        nonlocal is_over
        is_over = after is None
        if after is not None:
            loop.call_at(time.monotonic() + after, agent.connect)

    target = Target(parts.hostname or "", parts.port or 80)
    company_id = json.loads(FRAMES.read_text())["welcome"]["companyId"]
    agent = Agent(
        loop,
        target,
        Counters(),
        company_id=company_id,
        number=1,
        token="token",
        is_slow=False,
        read_piece=read_piece,
        on_gone=on_gone,
    )
    agent.connect()
    until = time.monotonic() + _END_SECONDS
    while not is_over and time.monotonic() < until:
        loop.turn()


if __name__ == "__main__":
    main(sys.argv[1])
