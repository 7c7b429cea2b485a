"""The comparison of rows with their messages finds no difference that is none: for one, every
client of the company would have to take a snapshot.
"""

from server.core.state.entities import Conversation, Message
from server.core.state.projection import WorkingSet
from server.db.engine.database import Connection
from server.db.state import crm_comparisons, store
from tests.unit.db.state.office import COMPANIES, Office, open_office
from tests.unit.states import at, message_change

COMPANY = COMPANIES[0]
SECOND = 60  # in which an agent and the customer write


async def miscounted(office: Office) -> list[Conversation]:
    _, found = await office.database.snapshot(lambda c: crm_comparisons.find_miscounted(c, 0, 100))
    return found


async def replies(office: Office, second: float) -> None:
    """An agent writes; Chatwoot has given no number yet."""

    async def write(c: Connection) -> WorkingSet:
        entry = await store.track_conversation(
            c, COMPANY, await office.some_row(c, COMPANY, 0) or 0
        )
        assert entry is not None
        working_set, moment = WorkingSet({(-1, 0): entry}), at(second)
        reply = Message(
            0, entry.row.id, "agent", "On its way", moment, client_id="key-1", agent_id=4,
            delivery_state="sending", observed_us=moment,
        )  # fmt: skip
        working_set.put_message(entry, reply, moment, moment)
        return working_set

    await office.transact([COMPANY], write)


async def test_a_reply_that_gave_way_to_what_was_written_in_its_second() -> None:
    """As long as it has no number it stands last in the thread, and not in the list."""
    async with open_office() as office:
        await office.tell([(COMPANY, message_change("first", number=88, second=5))])
        await replies(office, SECOND)
        assert await miscounted(office) == []
        late = message_change("meanwhile", number=89, second=SECOND + 0.5)
        await office.tell([(COMPANY, late)])
        assert await miscounted(office) == []


async def test_a_row_that_says_what_nobody_wrote_is_found() -> None:
    async with open_office() as office:
        await office.tell([(COMPANY, message_change("first", number=88, second=5))])
        assert await miscounted(office) == []
        await office.database.transaction(
            lambda c: c.execute(
                "UPDATE social_conversations SET omni_preview = REPLACE(omni_preview, 'first', "
                "'never said')"
            )
        )
        assert len(await miscounted(office)) == 1
