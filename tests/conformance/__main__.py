"""`python -m tests.conformance -- node my-client.mjs {url} {cursor}`: try a client of your own.

For each conversation the command is started anew, with the address in place of {url}, and in place
of {cursor} (which need not be there) the cursor of the snapshot it would have. It connects, follows
docs/protocol.md, prints the number of each event it applies as a line of its own, and ends when it
is told a final close code (or is ended).
"""

import asyncio
import sys
from asyncio.subprocess import PIPE

from tests.conformance.conversations import Conversation, read_all
from tests.conformance.judge import Departure, Judge, applied_by

_END_SECONDS = 5.0


async def try_client(command: list[str], conversation: Conversation) -> str | None:
    """What is wrong with the client, None when nothing is."""
    async with Judge() as judge:
        words = [
            word.replace("{url}", judge.url).replace("{cursor}", conversation["cursor"])
            for word in command
        ]
        process = await asyncio.create_subprocess_exec(*words, stdout=PIPE)
        try:
            await judge.play(conversation)
            async with asyncio.timeout(_END_SECONDS):
                applied = await applied_by(process)
        except Departure as departure:
            return str(departure)
        except TimeoutError:
            return "the client did not end after a final close code"
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        return (
            None
            if applied == conversation["applied"]
            else f"applied {applied} instead of {conversation['applied']}"
        )


async def main(command: list[str]) -> int:
    wrong = 0
    for conversation in read_all():
        problem = await try_client(command, conversation)
        wrong += problem is not None
        print(
            f"{'departs' if problem else 'conforms':9} {conversation['name']:14} "
            f"{problem or conversation['rule']}"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    arguments = sys.argv[2:] if sys.argv[1:2] == ["--"] else sys.argv[1:]
    sys.exit(asyncio.run(main(arguments)) if arguments else __doc__)
