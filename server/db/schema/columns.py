"""Between rows and entities: column lists, and the conversion of times, JSON and booleans that the
two dialects need.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from server.core.chatwoot.attachment_payloads import in_present_form
from server.core.state.entities import (
    Assignee,
    Attachment,
    Contact,
    Conversation,
    DeliveryError,
    Message,
    ReplyRequest,
)
from server.core.state.marks import NO_MARKS, Marks
from server.core.state.message_details import MessageDetails
from server.core.state.previews import RowPreview
from server.core.state.search_text import customer_form, message_form
from server.core.state.views import known_contact
from server.db.engine.driver_adapters import Dialect, Row
from server.db.engine.row_mapper import RowMapper
from server.db.schema.crm_words import SHOWN_SENDER, SHOWN_STATUS

T = TypeVar("T", bound=msgspec.Struct)

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the documented DATETIME columns are naive UTC
_MICROSECOND = dt.timedelta(microseconds=1)
_decode_array = msgspec.json.Decoder(list[Any]).decode
_decode_labels = msgspec.json.Decoder(list[str]).decode
_decode_attachments = msgspec.json.Decoder(list[Attachment]).decode
_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (Contact, Assignee, RowPreview, DeliveryError, Marks, ReplyRequest, MessageDetails)
}  # taking a type apart costs more than reading a small text
_encode_json = msgspec.json.Encoder().encode

# field -> column
CONVERSATION_COLUMNS = {
    "id": "id",
    "company_id": "company_id",
    "platform": "platform",
    "external_user_id": "external_user_id",
    "external_user_name": "external_user_name",
    "status": "status",
    "last_message_us": "last_message_at",
    "created_us": "created_at",
    "updated_us": "updated_at",
    "integration_id": "omni_integration_id",
    "chatwoot_conversation_id": "omni_chatwoot_conversation_id",
    "chatwoot_status": "omni_chatwoot_status",
    "chatwoot_version": "omni_chatwoot_version",
    "channel": "omni_channel",
    "contact": "omni_contact",
    "assignee": "omni_assignee",
    "labels": "omni_labels",
    "priority": "omni_priority",
    "waiting_since_us": "omni_waiting_since",
    "can_reply": "omni_can_reply",
    "preview": "omni_preview",
    "inbound_count": "omni_inbound_count",
    "last_inbound_us": "omni_last_inbound_at",
    "last_message_number": "omni_last_message_number",
    "contact_seen_us": "omni_contact_seen_at",
    "gone_us": "omni_gone_at",
    "read_count": "omni_read_count",
    "read_to_us": "omni_read_to",
    "observed_us": "omni_told_at",
    "former_number": "omni_former_number",
    "marks": "omni_marks",
    "seq": "omni_seq",
}
MESSAGE_COLUMNS = {
    "id": "id",
    "conversation_id": "conversation_id",
    "sender_type": "sender_type",
    "content": "content",
    "created_us": "created_at",
    "chatwoot_message_id": "omni_chatwoot_message_id",
    "chatwoot_version": "omni_chatwoot_version",
    "observed_us": "omni_told_at",
    "client_id": "omni_client_id",
    "agent_id": "omni_agent_id",
    "sender_name": "omni_sender_name",
    "content_type": "omni_content_type",
    "attachments": "omni_attachments",
    "is_private": "omni_is_private",
    "is_deleted": "omni_is_deleted",
    "edited_us": "omni_edited_at",
    "delivery_state": "omni_delivery_state",
    "delivery_error": "omni_delivery_error",
    "delivery_attempts": "omni_delivery_attempts",
    "next_attempt_us": "omni_next_attempt_at",
    "is_outcome_unknown": "omni_is_outcome_unknown",
    "answered_us": "omni_chatwoot_answered_at",
    "former_number": "omni_former_number",
    "request": "omni_request",
    "seq": "omni_seq",
    "details": "omni_details",
}

# a row is written with what it is found by, which nothing but lists and the search asks for
CONVERSATION_ROW = (*CONVERSATION_COLUMNS.values(), "omni_is_unsent", "omni_search_text")
MESSAGE_ROW = (*MESSAGE_COLUMNS.values(), "omni_search_text")


class JsonRowMapper(Generic[T]):
    """Rows of an entity with many columns: how they are asked for, and read.

    MySQL gives them as one JSON array: the driver describes each column anew for each SELECT and
    takes each value apart in Python, which for twenty columns costs more than the query. SQLite's
    driver is quick, and its JSON functions end a text at a NUL.
    """

    def __init__(self, mapper: RowMapper[T], table: str, shown: Mapping[str, str]) -> None:
        """`shown`: columns that are read as an expression of themselves."""
        columns_text = ", ".join(
            shown.get(column, f"{table}.{column}") for column in mapper.columns
        )
        self.select: dict[Dialect, str] = {
            "sqlite": columns_text,
            "mysql": f"JSON_ARRAY({columns_text})",
        }
        self._width = len(mapper.columns)
        self._read = mapper.read

    def entity(self, row: Row) -> T:
        """Return the entity of a row that was selected by `select`, as one JSON array or as
        columns.
        """
        return self._read(_decode_array(row[0]) if isinstance(row[0], str) else row)

    def rest(self, row: Row) -> Row:
        """What was selected after the entity."""
        return row[1:] if isinstance(row[0], str) else row[self._width :]


def time_to_column(moment_us: int | None) -> str | None:
    """Return a moment as the documented DATETIME columns hold it; both dialects read and order this
    text.
    """
    if moment_us is None:
        return None
    return (_EPOCH + dt.timedelta(microseconds=moment_us)).isoformat(" ", "microseconds")


def time_from_column(value: dt.datetime | str | None) -> int | None:
    """MySQL gives a datetime, SQLite the text (older rows: any ISO form, or none we know)."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            return None
    if value is None:
        return None
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return (value - _EPOCH) // _MICROSECOND


def ids(values: Iterable[int]) -> str:
    """A list for `IN (...)`, written into the text: numbers need no quoting, and thousands of
    parameters would cost more than the query.
    """
    return ", ".join(str(int(value)) for value in values) or "NULL"


def contact_number(value: str | None) -> int | None:
    """Chatwoot's number of the contact in a conversation's column `contact`."""
    contact = contact_of(value)
    return contact.id if contact is not None else None


def contact_of(value: str | None) -> Contact | None:
    """The column `contact` of a conversation."""
    found: Contact | None = _decode(value, Contact)
    return found


def conversation_to_row(c: Conversation) -> dict[str, Any]:
    """Return all columns of `social_conversations` for this conversation."""
    return {
        "id": c.id,
        "company_id": c.company_id,
        "platform": c.platform,
        "external_user_id": c.external_user_id,
        "external_user_name": c.external_user_name,
        "status": c.status,
        "last_message_at": time_to_column(c.last_message_us),
        "created_at": time_to_column(c.created_us),
        "updated_at": time_to_column(c.updated_us),
        "omni_integration_id": c.integration_id,
        "omni_chatwoot_conversation_id": c.chatwoot_conversation_id,
        "omni_chatwoot_status": c.chatwoot_status,
        "omni_chatwoot_version": c.chatwoot_version,
        "omni_channel": c.channel,
        "omni_contact": _encode(c.contact),
        "omni_assignee": _encode(c.assignee),
        "omni_labels": _encode(c.labels or None),
        "omni_priority": c.priority,
        "omni_waiting_since": c.waiting_since_us,
        "omni_can_reply": c.can_reply,
        "omni_preview": _encode(c.preview),
        "omni_is_unsent": c.preview is not None and c.preview.unsent is not None,
        "omni_inbound_count": c.inbound_count,
        "omni_last_inbound_at": c.last_inbound_us,
        "omni_last_message_number": c.last_message_number,
        "omni_contact_seen_at": c.contact_seen_us,
        "omni_gone_at": c.gone_us,
        "omni_read_count": c.read_count,
        "omni_read_to": c.read_to_us,
        "omni_told_at": c.observed_us,
        "omni_former_number": c.former_number,
        "omni_marks": _encode(c.marks) if c.marks != NO_MARKS else None,
        "omni_seq": c.seq,
        "omni_search_text": customer_form(c.external_user_name, known_contact(c)),
    }


def message_to_row(m: Message) -> dict[str, Any]:
    """Return all columns of `social_messages` for this message."""
    return {
        "id": m.id,
        "conversation_id": m.conversation_id,
        "sender_type": m.sender_type,
        "content": m.content,
        "created_at": time_to_column(m.created_us),
        "omni_chatwoot_message_id": m.chatwoot_message_id,
        "omni_chatwoot_version": m.chatwoot_version,
        "omni_told_at": m.observed_us,
        "omni_client_id": m.client_id,
        "omni_agent_id": m.agent_id,
        "omni_sender_name": m.sender_name,
        "omni_content_type": m.content_type,
        "omni_attachments": _encode(m.attachments or None),
        "omni_is_private": m.is_private,
        "omni_is_deleted": m.is_deleted,
        "omni_edited_at": m.edited_us,
        "omni_delivery_state": m.delivery_state,
        "omni_delivery_error": _encode(m.delivery_error),
        "omni_delivery_attempts": m.delivery_attempts,
        "omni_next_attempt_at": m.next_attempt_us,
        "omni_is_outcome_unknown": m.is_outcome_unknown,
        "omni_chatwoot_answered_at": m.answered_us,
        "omni_former_number": m.former_number,
        "omni_request": _encode(m.request),
        "omni_seq": m.seq,
        "omni_details": _encode(m.details),
        "omni_search_text": message_form(m),
    }


def _encode(value: object) -> str | None:
    return None if value is None else _encode_json(value).decode()


def _decode(text: str | None, kind: type[Any]) -> Any:
    return _decoders[kind].decode(text) if text else None


def _attachments(text: str) -> tuple[Attachment, ...]:
    """Rows may be older than today's rules, or the CRM's."""
    return in_present_form(tuple(_decode_attachments(text)))


def _plain_word(word: str) -> str:
    """As `lists` compares it: a CRM's may be in capitals."""
    return word.strip(" ").lower()


def _flag_or_none(value: object) -> bool | None:
    return None if value is None else bool(value)


CONVERSATIONS = JsonRowMapper(
    RowMapper(
        Conversation,
        CONVERSATION_COLUMNS,
        {
            "platform": _plain_word,
            "last_message_us": time_from_column,
            "created_us": time_from_column,
            "updated_us": time_from_column,
            "can_reply": _flag_or_none,
            "labels": lambda text: tuple(_decode_labels(text)),
            "contact": _decoders[Contact].decode,
            "assignee": _decoders[Assignee].decode,
            "preview": _decoders[RowPreview].decode,
            "marks": _decoders[Marks].decode,
        },
        {
            "platform": "",
            "labels": (),
            "contact": None,
            "assignee": None,
            "preview": None,
            "marks": NO_MARKS,
        },
    ),
    "c",
    {"status": SHOWN_STATUS},
)
MESSAGES = JsonRowMapper(
    RowMapper(
        Message,
        MESSAGE_COLUMNS,
        {
            "created_us": time_from_column,
            "attachments": _attachments,
            "is_private": bool,
            "is_deleted": bool,
            "is_outcome_unknown": bool,
            "delivery_error": _decoders[DeliveryError].decode,
            "request": _decoders[ReplyRequest].decode,
            "details": _decoders[MessageDetails].decode,
        },
        {
            "content": "",
            "attachments": (),
            "delivery_error": None,
            "request": None,
            "details": None,
        },
    ),
    "m",
    {"sender_type": SHOWN_SENDER},
)
