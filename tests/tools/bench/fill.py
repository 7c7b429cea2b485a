"""Fills databases without the server: deliveries into the journal, conversations and messages into
the tables.
"""

import json
import os

from server.core.chatwoot.json_bodies import strip_credentials
from server.core.times import SECOND, wall_now_us
from server.db.engine.database import Connection
from server.db.journal import journal
from server.db.journal.journal import Delivery
from server.db.schema import columns
from tests.tools.bench.deliveries import realistic_body, simple_body
from tests.tools.bench.servers import Running

_ROWS_AT_ONCE = 1_000
_FIRST_US = 1_700_000_000 * SECOND


def fill_journal(
    running: Running, numbers: range, *, companies: int = 1, is_simple: bool = False
) -> None:
    """Received and verified deliveries, in one commit, as the endpoint would have left them."""
    make = simple_body if is_simple else realistic_body
    now_us = wall_now_us()
    deliveries = [
        Delivery(
            uid=os.urandom(16).hex(),
            received_us=now_us,
            body=strip_credentials(make(number, company_id=1 + number % companies)).decode(),
            headers={},
            integration_id=1 + number % companies,
            is_verified=True,
        )
        for number in numbers
    ]

    async def append(connection: Connection) -> None:
        for at in range(0, len(deliveries), _ROWS_AT_ONCE):
            await journal.append_deliveries(connection, deliveries[at : at + _ROWS_AT_ONCE])

    running.do(append)


def fill_conversations(running: Running, count: int, *, first_id: int = 1) -> None:
    """Conversations of company 1 with everything in them that a real one has."""
    contact = json.dumps(
        {"id": 9071, "email": "lea@example.org", "phone": "+33612345678", "identifier": "crm-55012"}
    )
    preview = json.dumps(
        {
            "content": "Hello, where is order #5512?",
            "senderType": "customer",
            "hasAttachments": False,
        }
    )

    async def insert(connection: Connection) -> None:
        rows = [
            {
                "id": number,
                "external": f"chatwoot_9071_{number}",
                "name": f"Léa Moreau {number}",
                "moment": columns.time_to_column(_FIRST_US + number * SECOND),
                "contact": contact,
                "preview": preview,
            }
            for number in range(first_id, first_id + count)
        ]
        await connection.execute_many(
            "INSERT INTO social_conversations (id, company_id, platform, external_user_id, "
            "external_user_name, status, last_message_at, "
            "created_at, updated_at, omni_integration_id, omni_chatwoot_conversation_id, "
            "omni_chatwoot_status, omni_channel, omni_contact, omni_preview, omni_inbound_count) "
            "VALUES (:id, 1, 'chatwoot', :external, :name, 'Open', :moment, :moment, :moment, 1, "
            ":id, 'open', 'Channel::WebWidget', "
            ":contact, :preview, 3)",
            rows,
        )

    running.do(insert)


def fill_messages(running: Running, conversation_id: int, count: int) -> None:
    """A long thread in one conversation."""

    async def insert(connection: Connection) -> None:
        rows = [
            {
                "conversation_id": conversation_id,
                "sender": "agent" if number % 2 else "customer",
                "content": (
                    f"Message {number}: your parcel has left our warehouse and should arrive "
                    "within two days."
                ),
                "moment": columns.time_to_column(_FIRST_US + number * SECOND),
                "number": number,
            }
            for number in range(1, count + 1)
        ]
        await connection.execute_many(
            "INSERT INTO social_messages "
            "(conversation_id, sender_type, content, created_at, omni_chatwoot_message_id, "
            "omni_sender_name, omni_content_type) VALUES "
            "(:conversation_id, :sender, :content, :moment, :number, 'Léa Moreau', 'text')",
            rows,
        )

    running.do(insert)
