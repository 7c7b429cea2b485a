"""A reply that its channel refused and somebody deleted in Chatwoot is not sent again."""

from pathlib import Path

from msgspec.structs import replace

from server.core.state.entities import DeliveryError
from tests.unit.integration_rows import COMPANY
from tests.unit.outgoing.reply_desk import AGENT, desk


async def test_the_words_for_a_deleted_message_do_not_go_to_the_customer(tmp_path: Path) -> None:
    """Nothing has said here that it was deleted; Chatwoot would send what stands for it now."""
    async with desk(tmp_path) as one:
        message = await one.write()
        await one.sender.attempt(await one.claim())
        there = max(one.sim.messages.values(), key=lambda found: found.id)
        one.sim.mark_failed(there, "131026: Message undeliverable")
        error = DeliveryError("channel", "131026: Message undeliverable")
        await one.edits.change(
            COMPANY,
            1,
            message.id,
            lambda row: replace(row, delivery_state="failed", delivery_error=error),
        )
        one.sim.delete_message(there)
        await one.intake.retry(AGENT, 1, message.id)
        await one.sender.attempt(await one.claim())
        assert there.times_sent == 1
        ended = await one.read(message)
        assert ended.delivery_error is not None
        assert (ended.delivery_state, ended.delivery_error.code) == ("failed", "message_gone")
