"""Between rows and entities: column lists, and the conversion of times, JSON and booleans that the
two dialects need.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from server.core.bidi import without_turning
from server.core.state.entities import (
    Assignee,
    Attachment,
    Contact,
    Conversation,
    DeliveryError,
    Message,
    Preview,
)
from server.core.state.search_text import customer_form, message_form
from server.db.engine.sql_connection import Dialect, Row
from server.db.schema.crm_columns import shown_status

T = TypeVar("T")

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - the documented DATETIME columns are naive UTC
_MICROSECOND = dt.timedelta(microseconds=1)
_decode_array = msgspec.json.Decoder(list[Any]).decode
_decode_labels = msgspec.json.Decoder(list[str]).decode
_decode_attachments = msgspec.json.Decoder(list[Attachment]).decode
_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Contact, Assignee, Preview, DeliveryError)
}  # taking a type apart costs more than reading a small text
_encode_json = msgspec.json.Encoder().encode

CONVERSATION_COLUMNS = (
    "id",
    "company_id",
    "platform",
    "external_user_id",
    "external_user_name",
    "status",
    "last_message_at",
    "created_at",
    "updated_at",
    "omni_integration_id",
    "omni_chatwoot_conversation_id",
    "omni_chatwoot_status",
    "omni_chatwoot_version",
    "omni_channel",
    "omni_contact",
    "omni_assignee",
    "omni_labels",
    "omni_priority",
    "omni_waiting_since",
    "omni_can_reply",
    "omni_preview",
    "omni_inbound_count",
    "omni_last_inbound_at",
    "omni_last_message_number",
    "omni_contact_seen_at",
    "omni_gone_at",
    "omni_read_count",
    "omni_read_to",
    "omni_told_at",
    "omni_former_number",
    "omni_seq",
)
MESSAGE_COLUMNS = (
    "id",
    "conversation_id",
    "sender_type",
    "content",
    "created_at",
    "omni_chatwoot_message_id",
    "omni_chatwoot_version",
    "omni_told_at",
    "omni_client_id",
    "omni_agent_id",
    "omni_sender_name",
    "omni_content_type",
    "omni_attachments",
    "omni_is_private",
    "omni_is_deleted",
    "omni_edited_at",
    "omni_delivery_state",
    "omni_delivery_error",
    "omni_delivery_attempts",
    "omni_next_attempt_at",
    "omni_is_outcome_unknown",
    "omni_chatwoot_answered_at",
    "omni_former_number",
    "omni_seq",
)

# a row is written with what it is found by, which is read by nobody but the search
CONVERSATION_ROW = (*CONVERSATION_COLUMNS, "omni_search_text")
MESSAGE_ROW = (*MESSAGE_COLUMNS, "omni_search_text")


class Shape(Generic[T]):
    """How rows of an entity are asked for and read.

    MySQL gives them as one JSON array: the driver describes each column anew for each SELECT and
    takes each value apart in Python, which for twenty columns costs more than the query. SQLite's
    driver is quick, and its JSON functions end a text at a NUL.
    """

    def __init__(
        self, columns: Sequence[str], table: str, from_values: Callable[[list[Any]], T]
    ) -> None:
        columns_text = ", ".join(f"{table}.{column}" for column in columns)
        self.select: dict[Dialect, str] = {
            "sqlite": columns_text,
            "mysql": f"JSON_ARRAY({columns_text})",
        }
        self._width = len(columns)
        self._from_values = from_values

    def entity(self, row: Row) -> T:
        return self._from_values(
            _decode_array(row[0]) if isinstance(row[0], str) else list(row[: self._width])
        )

    def rest(self, row: Row) -> Row:
        """What was selected after the entity."""
        return row[1:] if isinstance(row[0], str) else row[self._width :]


def time_to_column(moment_us: int | None) -> str | None:
    """For the documented DATETIME columns; both dialects take and order this text."""
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


def _conversation(values: list[Any]) -> Conversation:
    # a CRM's lists may be in capitals, or have words of its own
    values[2], values[5] = values[2].lower(), shown_status(values[5] or "")
    values[6], values[7], values[8] = (time_from_column(value) for value in values[6:9])
    values[14] = _decode(values[14], Contact)
    values[15] = _decode(values[15], Assignee)
    values[16] = tuple(_decode_labels(values[16])) if values[16] else ()
    values[19] = None if values[19] is None else bool(values[19])
    values[20] = _decode(values[20], Preview)
    return Conversation(*values)


def conversation_to_row(c: Conversation) -> dict[str, Any]:
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
        "omni_inbound_count": c.inbound_count,
        "omni_last_inbound_at": c.last_inbound_us,
        "omni_last_message_number": c.last_message_number,
        "omni_contact_seen_at": c.contact_seen_us,
        "omni_gone_at": c.gone_us,
        "omni_read_count": c.read_count,
        "omni_read_to": c.read_to_us,
        "omni_told_at": c.told_at,
        "omni_former_number": c.former_number,
        "omni_seq": c.seq,
        "omni_search_text": customer_form(c.external_user_name, c.contact),
    }


def _message(values: list[Any]) -> Message:
    values[2], values[3] = values[2].lower(), values[3] or ""
    values[4] = time_from_column(values[4])
    values[12] = _attachments(values[12]) if values[12] else ()
    values[13], values[14], values[20] = bool(values[13]), bool(values[14]), bool(values[20])
    values[17] = _decode(values[17], DeliveryError)
    return Message(*values)


def message_to_row(m: Message) -> dict[str, Any]:
    return {
        "id": m.id,
        "conversation_id": m.conversation_id,
        "sender_type": m.sender_type,
        "content": m.content,
        "created_at": time_to_column(m.created_us),
        "omni_chatwoot_message_id": m.chatwoot_message_id,
        "omni_chatwoot_version": m.chatwoot_version,
        "omni_told_at": m.told_at,
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
        "omni_seq": m.seq,
        "omni_search_text": message_form(m),
    }


def _encode(value: object) -> str | None:
    return None if value is None else _encode_json(value).decode()


def _decode(text: str | None, kind: type[Any]) -> Any:
    return _decoders[kind].decode(text) if text else None


CONVERSATIONS = Shape(CONVERSATION_COLUMNS, "c", _conversation)
MESSAGES = Shape(MESSAGE_COLUMNS, "m", _message)


def _attachments(text: str) -> tuple[Attachment, ...]:
    """Rows may be older than the rule for names, or the CRM's."""
    found = _decode_attachments(text)
    return tuple(
        msgspec.structs.replace(one, name=without_turning(one.name))
        if one.name and not one.name.isascii()
        else one
        for one in found
    )
