"""Conversations and messages of every look, as the pages are given them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from server.core.state.preference_rules import Preferences, change_preferences, parse_preferences
from server.errors import OmniError, Unauthenticated
from server.http.pages import inbox_pages
from server.http.pages.page_view import PageFilters

OPEN_ID = 3


def _iso(ago: timedelta) -> str:
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _conversation(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "companyId": 1,
        "platform": "chatwoot",
        "externalUserId": f"chatwoot_{number}_{number}",
        "externalUserName": "Léa Moreau",
        "status": "Open",
        "lastMessageAt": _iso(timedelta(minutes=number, seconds=30)),
        "createdAt": _iso(timedelta(days=9)),
        "updatedAt": _iso(timedelta(days=9)),
        "contact": {"id": number, "email": "lea@example.org", "phone": None, "identifier": None},
        "waitingSince": None,
        "canReply": True,
        "preview": {
            "content": "Hello, where is order #5512?",
            "senderType": "customer",
            "hasAttachments": False,
        },
        "inboundCount": 4,
        "readCount": 4,
        "unreadCount": 0,
        "seq": number,
        **more,
    }


def _preview(
    content: str, sender_type: str = "customer", has_attachments: bool = False
) -> dict[str, Any]:
    return {"content": content, "senderType": sender_type, "hasAttachments": has_attachments}


def conversations() -> list[dict[str, Any]]:
    return [
        _conversation(1, unreadCount=1, readCount=3),
        _conversation(2, unreadCount=120, externalUserName="মোঃ আব্দুল্লাহ আল মামুন"),
        _conversation(OPEN_ID, unreadCount=2, externalUserName=None, preview=None),
        _conversation(4, lastMessageAt=None, contact=None),
        _conversation(
            5,
            preview=_preview("", has_attachments=True),
            waitingSince=_iso(timedelta(minutes=20, seconds=30)),
        ),
        _conversation(
            6,
            preview=_preview("{n} <b>&", "agent"),
            waitingSince=_iso(timedelta(hours=5, seconds=30)),
        ),
        _conversation(
            7,
            status="Closed",
            waitingSince=_iso(timedelta(days=5)),
            lastMessageAt=_iso(timedelta(days=1)),
        ),
        _conversation(8, externalUserName="🙂 …", lastMessageAt=_iso(timedelta(days=200))),
        _conversation(9, externalUserName="<script>'\"", lastMessageAt=_iso(timedelta(days=800))),
        _conversation(
            10, waitingSince=_iso(timedelta(days=3, seconds=30)), externalUserName="স্ত্রী"
        ),
    ]


def _message(
    number: int, ago: timedelta, sender_type: str = "customer", **more: Any
) -> dict[str, Any]:
    return {
        "id": number,
        "conversationId": OPEN_ID,
        "senderType": sender_type,
        "content": f"text {number}",
        "createdAt": _iso(ago),
        "senderName": "Léa Moreau" if sender_type == "customer" else "Tomas Berg",
        "contentType": "text",
        "private": False,
        "deleted": False,
        "attachments": [],
        "chatwootMessageId": number,
        "clientId": None,
        "agentId": None,
        "editedAt": None,
        "deliveryState": None,
        "deliveryError": None,
        "seq": number,
        **more,
    }


def _file(kind: str, url: str, **more: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "type": kind,
        "url": url,
        "thumbUrl": None,
        "name": None,
        "width": None,
        "height": None,
        **more,
    }


def messages() -> list[dict[str, Any]]:
    files = [
        _file("image", "https://files.example/a.png", name="receipt.png", width=1080, height=2220),
        _file("image", "https://files.example/b.png", thumbUrl="https://files.example/b-thumb.png"),
        _file("file", "https://files.example/c.pdf?a=1&b=2", name="চালান.pdf"),
        _file("file", "javascript:alert(1)", name="evil"),
        _file("image", "", name="on its way.png"),
        _file("audio", "https://files.example/d.ogg"),
        _file("video", "https://files.example/e.mp4", width=640, height=360),
    ]
    refused = {"code": "not_in_the_catalogue", "message": "Chatwoot refused the reply."}
    hours, minutes = timedelta(hours=1), timedelta(minutes=1)
    return [
        _message(1, timedelta(days=400), content="১২৩ <b>bold</b> & more\nsecond line"),
        _message(2, timedelta(days=30), senderName=None),
        _message(3, timedelta(days=1), "agent", senderName=None),
        _message(
            4,
            3 * hours,
            "agent",
            private=True,
            content="A note",
            clientId="b1b0",
            deliveryState="sent",
        ),
        _message(5, 3 * hours, "agent", private=True, content="  one more "),
        _message(6, 50 * minutes, attachments=files, content=""),
        _message(7, 49 * minutes, deleted=True, attachments=files),
        _message(12, 40 * minutes, editedAt=_iso(35 * minutes)),
        _message(13, 39 * minutes, "agent", deliveryState="delivered"),
        _message(14, 38 * minutes, "agent", deliveryState="read"),
        _message(8, 30 * minutes, "agent", clientId="b1b2", deliveryState="sent"),
        _message(
            9,
            29 * minutes,
            "agent",
            clientId="b1b3",
            chatwootMessageId=None,
            deliveryState="failed",
            deliveryError=refused,
        ),
        _message(
            10, 28 * minutes, "agent", clientId="b1b4", deliveryState="failed", deliveryError=None
        ),
        _message(11, 2 * minutes, "agent", clientId="b1b5", deliveryState="sending"),
    ]


class Agent:
    id = 7
    company_id = 1
    name = "Tomas Berg"


class FixedData:
    """The same objects for every question; notes the replies it is given."""

    def has_trouble(self, agent: inbox_pages.PageAgent) -> bool:
        return False

    def __init__(self, is_signed_in: bool = True) -> None:
        self.is_signed_in = is_signed_in
        self.needs_set_up = False
        self.replies: list[tuple[int, str, str, bool]] = []
        self.chosen = parse_preferences(None)
        self.trouble: OmniError | None = None  # raised instead of every answer

    async def authenticate(self, request: Request) -> inbox_pages.PageAgent | None:
        if self.trouble is not None:
            raise self.trouble
        return Agent() if self.is_signed_in else None

    async def sign_in(self, request: Request, email: str, password: str) -> inbox_pages.SignInDone:
        if self.trouble is not None:
            raise self.trouble
        if password != "right":
            raise Unauthenticated
        return inbox_pages.SignInDone(["omni_session=value; HttpOnly"])

    async def finish_sign_in(
        self, request: Request, ticket: str, code: str
    ) -> inbox_pages.SignInDone:
        if self.trouble is not None:
            raise self.trouble
        return inbox_pages.SignInDone(
            ["omni_session=value; HttpOnly"], recovery_codes=["aaaaa-bbbbb"]
        )

    async def sign_out(self, request: Request, made_for: str | None) -> list[str]:
        return ["omni_session=; Max-Age=0"]

    async def cursor(self, agent: inbox_pages.PageAgent) -> str:
        return "epoch.12"

    async def list_conversations(
        self, agent: inbox_pages.PageAgent, *, filters: PageFilters, limit: int, before: str | None
    ) -> inbox_pages.ConversationPage:
        return inbox_pages.ConversationPage(conversations(), None)

    async def preferences(self, agent: inbox_pages.PageAgent) -> Preferences:
        return self.chosen

    async def change_preferences(self, agent: inbox_pages.PageAgent, given: Preferences) -> None:
        self.chosen = change_preferences(self.chosen, given)

    async def count_unread(self, agent: inbox_pages.PageAgent) -> dict[str, int]:
        return {"Open": 123, "Closed": 0}

    async def get_thread(
        self, agent: inbox_pages.PageAgent, conversation_id: int, *, limit: int, before: int | None
    ) -> dict[str, Any] | None:
        if conversation_id != OPEN_ID:
            return None
        return {**conversations()[OPEN_ID - 1], "messages": messages()}

    async def reply(
        self,
        agent: inbox_pages.PageAgent,
        conversation_id: int,
        *,
        content: str,
        client_id: str,
        is_private: bool,
    ) -> None:
        self.replies.append((conversation_id, content, client_id, is_private))
