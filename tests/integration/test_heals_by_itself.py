"""After an upgrade, what an earlier version's sync left out is found by itself: nobody presses
anything.
"""

from pathlib import Path

from server.lab.chatwoot_sim import ChatwootSim
from tests.kit.company import Company
from tests.kit.eventually import eventually
from tests.kit.omni import Omni
from tests.kit.servers import QUICK

# what an earlier version had not got: whether a history was ever found to be whole
_NEW = {
    "social_conversations": ("omni_verified_at",),
    "integrations": (
        "omni_sync_began_at",
        "omni_verified_at",
        "omni_history_until",
        "omni_history_began_at",
    ),
}


async def test_an_upgrade_heals_what_an_earlier_sync_left_out(
    tmp_path: Path, sim: ChatwootSim
) -> None:
    """Messages and a whole conversation, of long ago; webhooks, reconcile and socket tell nothing
    of them.
    """
    url = f"sqlite:///{tmp_path / 'omni.db'}"
    server = Omni(tmp_path, database_url=url, env=QUICK)
    newer = server.another(env={"HISTORY_REQUESTS_PER_HOUR": "1000000"})
    server.prepare()
    server.start()
    try:
        async with Company(server, chatwoot=sim) as company:
            for number in range(40):
                sim.customer_says(f"Customer {number % 30}", f"text {number}").created_at -= 1e7
            for talk in sim.conversations.values():
                talk.last_activity_at -= 1e7  # reconcile looks no further back than a day
            answer = await company.http.post("/api/chatwoot/sync", json={}, timeout=60)
            assert answer.json()["integrations"][0]["messages"]["created"] == 40
            await company.hold_reconcile()
            server.terminate()
            await company.execute(
                "DELETE FROM social_messages WHERE id % 3 = 0 OR conversation_id = 5"
            )
            await company.execute("DELETE FROM social_conversations WHERE id = 5")
            for table, columns in _NEW.items():
                for column in columns:
                    await company.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            left = await company.rows("SELECT COUNT(*) FROM social_messages")
            assert left[0][0] < 30
            newer.prepare()
            newer.start()
            await eventually(lambda: _is_whole(company), limit=60)
    finally:
        server.kill9()
        newer.kill9()


async def _is_whole(company: Company) -> bool:
    messages = await company.rows(
        "SELECT COUNT(*), COUNT(DISTINCT omni_chatwoot_message_id) FROM social_messages"
    )
    conversations = await company.rows("SELECT COUNT(*) FROM social_conversations")
    return (*messages[0], conversations[0][0]) == (40, 40, 30)
