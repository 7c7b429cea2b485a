"""Conversations and messages of every look, as rows of a database, and the application on it."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy
from starlette.testclient import TestClient

from server.access.passwords import hash_password
from server.app import create_app
from server.core.state.entities import (
    Attachment,
    Contact,
    Conversation,
    DeliveryError,
    Discard,
    Message,
)
from server.core.state.marks import Marks, Team
from server.core.state.previews import RowPreview, UnsentReply
from server.core.times import SECOND
from server.db.access import agent_rows, integration_rows
from server.db.access.audit_log import FOREIGN_REFUSED
from server.db.access.vault import Vault
from server.db.engine.database import Connection, Database
from server.db.schema.access_tables import audit_log
from server.db.schema.columns import conversation_to_row, message_to_row
from server.db.schema.shared_tables import social_conversations, social_messages
from server.db.state import crm_proofs
from server.settings import Settings
from tests.unit.databases import fresh_sqlite
from tests.web.kinds_data import FROM_AGENTS, FROM_CUSTOMERS

ORIGIN = "https://inbox.test"
# as browsers send it with a form of ours
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}
EMAIL = "tomas@example.org"
PASSWORD = "right-and-long"
OPEN_ID = 3
MARKED_ID = 20  # its conversation has all marks at once
KINDS_ID = 1  # its conversation has one of each kind of message
FOREIGN_ID = 99  # another company's
_COMPANY = 1
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_SESSION = re.compile(r"(\S*omni_session)=([^;]+)")


def conversations() -> list[Conversation]:
    return [
        _conversation(
            KINDS_ID,
            inbound_count=4,
            read_count=3,
            channel="Channel::Whatsapp",
            external_user_name="Léa Martin",  # as she is called since her messages came
        ),
        _conversation(2, inbound_count=120, external_user_name="মোঃ আব্দুল্লাহ আল মামুন"),
        _conversation(OPEN_ID, inbound_count=2, external_user_name=None, preview=None),
        _conversation(4, last_message_us=None, contact=None, platform="facebook"),
        _conversation(
            5,
            preview=RowPreview("", "customer", has_attachments=True),
            waiting_since_us=_ago(20 * _MINUTE + 30),
        ),
        _conversation(
            6,
            preview=RowPreview("{n} <b>&", "agent"),
            waiting_since_us=_ago(5 * _HOUR + 30),
        ),
        _conversation(
            7, status="Closed", waiting_since_us=_ago(5 * _DAY), last_message_us=_ago(_DAY)
        ),
        _conversation(8, external_user_name="🙂 …", last_message_us=_ago(200 * _DAY)),
        _conversation(9, external_user_name="<script>'\"", last_message_us=_ago(800 * _DAY)),
        _conversation(10, waiting_since_us=_ago(3 * _DAY + 30), external_user_name="স্ত্রী"),
        *_marked(),
    ]


def _marked() -> list[Conversation]:
    """Conversations with each mark that a row and a head can have."""
    team, blocked = Team(1, "ফেরত ও বদল"), Marks(is_blocked=True)
    asleep = {"chatwoot_status": "snoozed", "waiting_since_us": _ago(_DAY)}
    snoozes = [None, _ago(-60), _ago(-_DAY), _ago(-3 * _DAY), _ago(-400 * _DAY), _ago(_DAY)]
    marks = [Marks(snoozed_until_us=moment, team=team) for moment in snoozes]
    channels = ["Whatsapp", "Email", "WebWidget", "TwilioSms", "Odd<b>", "TwitterProfile"]
    return [
        *(
            _conversation(11 + n, marks=mark, channel=f"Channel::{channels[n]}", **asleep)
            for n, mark in enumerate(marks)
        ),
        _conversation(17, chatwoot_status="pending", waiting_since_us=_ago(_DAY)),
        *(
            _conversation(
                number,
                integration_id=number,
                channel=f"Channel::{channel}",
                marks=Marks(inbox_name=name),
            )
            for number, channel, name in (
                (40, "Whatsapp", "whatsApp"),
                (41, "Email", "Email-2"),
                (42, "Email", "Email 2"),
                (43, "Line", "Linen"),
                (44, "Sms", "SMS"),
            )
        ),
        _conversation(18, marks=blocked, chatwoot_status="open"),
        _conversation(19, marks=blocked, chatwoot_status="resolved", status="Closed"),
        _conversation(
            MARKED_ID,
            preview=RowPreview("Hello", "customer", unsent=UnsentReply(1, _ago(_DAY), "expired")),
            chatwoot_status="snoozed",
            marks=Marks(
                snoozed_until_us=_ago(-_DAY),
                team=team,
                is_blocked=True,
                inbox_name="Dhaka <Fashion>",
                mail_subject="Order & refund",
            ),
            channel="Channel::Email",
            priority="urgent",
            labels=("vip", "ফেরত"),
        ),
    ]


def messages() -> list[Message]:
    files = (
        _file("image", "https://files.example/a.png", name="receipt.png", width=1080, height=2220),
        _file(
            "image", "https://files.example/b.png", thumb_url="https://files.example/b-thumb.png"
        ),
        _file("file", "https://files.example/c.pdf?a=1&b=2", name="চালান.pdf"),
        _file("file", "javascript:alert(1)", name="evil"),
        _file("image", "", name="on its way.png"),
        _file("audio", "https://files.example/d.ogg"),
        _file("video", "https://files.example/e.mp4", width=640, height=360),
    )
    refused = DeliveryError("not_in_the_catalogue", "Chatwoot refused the reply.")
    sent: dict[str, Any] = {"delivery_state": "sent"}
    failed: dict[str, Any] = {"delivery_state": "failed"}
    # nobody takes it up while the test looks
    later: dict[str, Any] = {"delivery_state": "sending", "next_attempt_us": _ago(-_DAY)}
    return [
        _message(1, 400 * _DAY, content="১২৩ <b>bold</b> & more\nsecond line"),
        _message(2, 30 * _DAY, sender_name=None),
        _message(3, _DAY, "agent", sender_name=None),
        _message(4, 3 * _HOUR, "agent", content="A note", client_id="b1b0", **_NOTE, **sent),
        _message(5, 3 * _HOUR, "agent", content="  one more ", **_NOTE),
        _message(6, 50 * _MINUTE, attachments=files, content=""),
        _message(7, 49 * _MINUTE, is_deleted=True, attachments=files),
        _message(8, 40 * _MINUTE, edited_us=_ago(35 * _MINUTE)),
        _message(9, 39 * _MINUTE, "agent", delivery_state="delivered"),
        _message(10, 38 * _MINUTE, "agent", delivery_state="read"),
        _message(11, 30 * _MINUTE, "agent", client_id="b1b2", **sent),
        _message(
            12,
            29 * _MINUTE,
            "agent",
            client_id="b1b3",
            chatwoot_message_id=None,
            delivery_error=refused,
            **failed,
        ),
        _message(13, 28 * _MINUTE, "agent", client_id="b1b4", **failed),
        _message(14, 2 * _MINUTE, "agent", client_id="b1b5", chatwoot_message_id=None, **later),
        _message(
            15,
            _MINUTE,
            "agent",
            client_id="b1b6",
            chatwoot_message_id=None,
            delivery_error=DeliveryError(refused.code, refused.message, Discard(9, "শ্রাবণী <b>")),
            **failed,
        ),
    ]


def kind_messages() -> list[Message]:
    """One of each kind, in a conversation of their own."""
    kinds = [("customer", one) for one in FROM_CUSTOMERS] + [("agent", one) for one in FROM_AGENTS]
    return [
        _message(number, _HOUR - number, sender_type, conversation_id=KINDS_ID, **one)
        for number, (sender_type, one) in enumerate(kinds, len(messages()) + 1)
    ]


_NOTE = {"is_private": True}


@dataclass
class Pages:
    """The application, and what is stored by it."""

    http: TestClient
    database: sqlalchemy.Engine

    def sign_in(self) -> tuple[str, str]:
        """Name and value of a new session's cookie; the client itself has none afterwards."""
        form = {"email": EMAIL, "password": PASSWORD}
        answer = self.http.post("/sign-in", data=form, headers=OURS)
        self.http.cookies.clear()
        found = _SESSION.search(answer.headers["Set-Cookie"])
        assert found is not None
        return found[1], found[2]

    def replies(self) -> list[tuple[int, str, str, bool]]:
        """Conversation, text, client id and whether it is a note, of replies written on pages."""
        rows = (
            sqlalchemy.select(
                social_messages.c.conversation_id,
                social_messages.c.content,
                social_messages.c.omni_client_id,
                social_messages.c.omni_is_private,
            )
            .where(social_messages.c.id > len(messages()) + len(kind_messages()))
            .order_by(social_messages.c.id)
        )
        with self.database.connect() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(rows)]

    def refused_as_foreign(self) -> list[str]:
        """What the audit log says of requests for another company's things."""
        targets = (
            sqlalchemy.select(audit_log.c.target)
            .where(audit_log.c.act == FOREIGN_REFUSED)
            .order_by(audit_log.c.id)
        )
        with self.database.connect() as connection:
            return [row[0] for row in connection.execute(targets)]


@contextmanager
def running_pages(
    folder: Path, *, has_agent: bool = True, is_connected: bool = True
) -> Iterator[Pages]:
    """The whole application on an SQLite database that has every look in it; without an agent, or
    connected to no inbox, nothing but that.
    """
    url = fresh_sqlite(folder / "omni.db")
    engine = sqlalchemy.create_engine(url)
    if has_agent:
        asyncio.run(_fill(url, is_connected=is_connected))
    if has_agent and is_connected:
        foreign = _conversation(FOREIGN_ID, company_id=_COMPANY + 1)
        rows = [_row(conversation_to_row(c)) for c in (*conversations(), foreign)]
        messages_rows = [_row(message_to_row(m)) for m in (*messages(), *kind_messages())]
        with engine.begin() as connection:
            connection.execute(social_conversations.insert(), rows)
            connection.execute(social_messages.insert(), messages_rows)
    settings = Settings(
        database_url=url,
        spool_path=str(folder / "spool.db"),
        jwt_secret="x" * 32,
        public_url=ORIGIN,
        chatwoot_sockets=False,
    )
    with TestClient(create_app(settings), ORIGIN, follow_redirects=False) as http:
        yield Pages(http, engine)
    engine.dispose()


async def _fill(url: str, *, is_connected: bool) -> None:
    now_us = _ago(0)
    integration = {
        "company_id": _COMPANY,
        "account_id": 7,
        "base_url": "http://127.0.0.1:9",
        "access_token": "none",
        "webhook_secret": None,
        "proved_us": now_us,
    }

    async def write(connection: Connection) -> None:
        hashed = hash_password(PASSWORD)
        await agent_rows.add_agent(
            connection, _COMPANY, EMAIL, "Tomas Berg", "admin", hashed, now_us
        )
        inboxes = ((12, "Dhaka <Fashion>"), (13, "Chattogram")) if is_connected else ()
        for inbox_id, name in inboxes:
            one = integration | {"inbox_id": inbox_id, "inbox_name": name}
            await integration_rows.add_integration(connection, Vault(""), one, now_us)
        # as the server that stored the rows has done: nothing is to be compared with its notes
        await crm_proofs.prove(connection, now_us, has_refused=False)

    async with Database(url) as database:
        await database.transaction(write)


def _row(values: dict[str, Any]) -> dict[str, Any]:
    """As SQLAlchemy's own column types take it."""
    times = ("last_message_at", "created_at", "updated_at")
    return {
        name: datetime.fromisoformat(value) if name in times and value is not None else value
        for name, value in values.items()
    }


def _ago(seconds: float) -> int:
    return int((time.time() - seconds) * SECOND)


def _conversation(number: int, **more: Any) -> Conversation:
    plain: dict[str, Any] = {
        "id": number,
        "company_id": _COMPANY,
        "platform": "chatwoot",
        "external_user_id": f"chatwoot_{number}_{number}",
        "external_user_name": "Léa Moreau",
        "status": "Open",
        "last_message_us": _ago(number * _MINUTE + 30),
        "created_us": _ago(9 * _DAY),
        "updated_us": _ago(9 * _DAY),
        "integration_id": 1,
        "chatwoot_conversation_id": number,
        "contact": Contact(id=number, email="lea@example.org"),
        "can_reply": True,
        "preview": RowPreview("Hello, where is order #5512?", "customer"),
        "seq": number,
    }
    return Conversation(**plain | more)


def _message(number: int, ago: float, sender_type: str = "customer", **more: Any) -> Message:
    plain: dict[str, Any] = {
        "id": number,
        "conversation_id": OPEN_ID,
        "sender_type": sender_type,
        "content": f"text {number}",
        "created_us": _ago(ago),
        "sender_name": "Léa Moreau" if sender_type == "customer" else "Tomas Berg",
        "content_type": "text",
        "chatwoot_message_id": number,
        "seq": number,
    }
    return Message(**plain | more)


def _file(kind: str, url: str, **more: Any) -> Attachment:
    return Attachment(id=1, type=kind, url=url, **more)
