"""Fills our columns in rows that are older than this program from what the CRM wrote, a few
thousand rows at a time.

Only what is missing is filled, so a run that was interrupted goes on where it stopped, and one too
many changes nothing.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import sqlalchemy.exc
from sqlalchemy import Connection, text

from server.db.migrations.progress import report

T = TypeVar("T")

_PAGE = 500  # rows in one statement: short enough that the CRM's own writes do not notice
# rows that each get a value of their own in one statement: MySQL looks through all WHENs for each
# of them
_UPDATE_ROWS = 200
_ATTEMPTS = 5
_BUSY = {1205, 1213}  # lock wait timeout, deadlock: MySQL rolled the statement back
_PREVIEW_CHARACTERS = 160
# the contact is not looked at: a contact merge changes it, and the conversation's number is unique
# in its account
_EXTERNAL_ID = re.compile(r"chatwoot_[^_]+_([1-9][0-9]{0,17})")

_STATUS = """\
UPDATE social_conversations SET omni_chatwoot_status = CASE LOWER(TRIM(status))
  WHEN 'closed' THEN 'resolved' WHEN 'resolved' THEN 'resolved' WHEN 'pending' THEN 'pending' ELSE 'open' END{keep}
WHERE id BETWEEN :low AND :high AND platform = 'chatwoot' AND omni_chatwoot_status IS NULL AND status <> ''"""  # noqa: E501
_LAST_MESSAGE = """\
UPDATE social_conversations SET last_message_at = (
  SELECT MAX(m.created_at) FROM social_messages m WHERE m.conversation_id = social_conversations.id AND m.omni_is_private = 0){keep}
WHERE id BETWEEN :low AND :high AND last_message_at IS NULL AND EXISTS (
  SELECT 1 FROM social_messages m
  WHERE m.conversation_id = social_conversations.id AND m.omni_is_private = 0 AND m.created_at IS NOT NULL)"""  # noqa: E501
_INBOUND = """\
UPDATE social_conversations SET omni_inbound_count = (
  SELECT COUNT(*) FROM social_messages m WHERE m.conversation_id = social_conversations.id AND LOWER(TRIM(m.sender_type)) = 'customer'){keep}
WHERE id BETWEEN :low AND :high AND omni_inbound_count < (
  SELECT COUNT(*) FROM social_messages m WHERE m.conversation_id = social_conversations.id AND LOWER(TRIM(m.sender_type)) = 'customer')"""  # noqa: E501
_MICROSECONDS = {
    "sqlite": (
        "CAST(strftime('%s', {time}) AS INTEGER) * 1000000 + CAST(substr({time}, 21, 6) AS INTEGER)"
    ),
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', {time})",
}
_LAST_INBOUND = """\
UPDATE social_conversations SET omni_last_inbound_at = (
  SELECT {microseconds} FROM social_messages m
  WHERE m.conversation_id = social_conversations.id AND LOWER(TRIM(m.sender_type)) = 'customer' AND m.omni_is_private = 0
  AND m.created_at > '1970-01-02'){keep}
WHERE id BETWEEN :low AND :high AND omni_last_inbound_at IS NULL AND EXISTS (
  SELECT 1 FROM social_messages m WHERE m.conversation_id = social_conversations.id
  AND LOWER(TRIM(m.sender_type)) = 'customer' AND m.omni_is_private = 0 AND m.created_at > '1970-01-02')"""  # noqa: E501
_NEWEST = """\
SELECT conversation_id, who, content FROM (
  SELECT m.conversation_id, CASE WHEN LOWER(TRIM(m.sender_type)) = 'customer' THEN 'customer' ELSE 'agent' END AS who, SUBSTR(m.content, 1, :characters) AS content,
    ROW_NUMBER() OVER (PARTITION BY m.conversation_id ORDER BY m.created_at DESC, m.id DESC) AS place
  FROM social_messages m JOIN social_conversations c ON c.id = m.conversation_id
  WHERE c.id BETWEEN :low AND :high AND c.omni_preview IS NULL AND m.omni_is_private = 0) newest
WHERE place = 1"""  # noqa: E501
_ONLY_INTEGRATION = """\
SELECT company_id, MIN(id) FROM integrations WHERE provider = 'chatwoot' AND company_id IS NOT NULL
GROUP BY company_id HAVING COUNT(*) = 1"""
_UNLINKED = """\
SELECT id, company_id, external_user_id, last_message_at FROM social_conversations
WHERE platform = 'chatwoot' AND omni_integration_id IS NULL AND external_user_id IS NOT NULL AND id BETWEEN :low AND :high"""  # noqa: E501


# SQLite keeps times as text and orders them as text: pages end for ever before a row whose time
# lacks the fraction
_SQLITE_TIMES = {
    "social_conversations": ("last_message_at", "created_at", "updated_at"),
    "social_messages": ("created_at",),
}
_WIDEN = """\
UPDATE {table} SET {column} = strftime('%Y-%m-%d %H:%M:%f', {column}) || '000'
WHERE length({column}) <> 26 AND strftime('%Y-%m-%d %H:%M:%f', {column}) IS NOT NULL"""


def fill(connection: Connection) -> list[str]:
    """Fill what is missing. Returns sentences with counts. The columns must be there; killing it
    loses nothing.
    """
    if connection.dialect.name == "sqlite":
        for table, columns in _SQLITE_TIMES.items():
            for column in columns:
                run(connection, _WIDEN.format(table=table, column=column))
    touched = _touched_by_updates(connection, "social_conversations")
    keep = _keep(touched)
    keep_but_last_message = _keep(touched - {"last_message_at"})
    microseconds = _MICROSECONDS[
        "sqlite" if connection.dialect.name == "sqlite" else "mysql"
    ].format(time="MAX(m.created_at)")
    counts = dict.fromkeys(
        (
            "last message time",
            "inbound count",
            "time of the customer's last message",
            "Chatwoot status",
            "preview",
        ),
        0,
    )
    total = int(run(connection, "SELECT COUNT(*) FROM social_conversations").scalar_one())
    seen = 0
    for page in _pages(connection):
        report("filling conversations", seen, total)
        seen = min(total, seen + _PAGE)
        counts["last message time"] += run(
            connection, _LAST_MESSAGE.format(keep=keep_but_last_message), page
        ).rowcount
        counts["inbound count"] += run(connection, _INBOUND.format(keep=keep), page).rowcount
        counts["time of the customer's last message"] += run(
            connection, _LAST_INBOUND.format(microseconds=microseconds, keep=keep), page
        ).rowcount
        counts["Chatwoot status"] += run(connection, _STATUS.format(keep=keep), page).rowcount
        counts["preview"] += _fill_previews(connection, page, keep)
    done = [f"{what} filled in {_conversations(count)}" for what, count in counts.items() if count]
    return done + _separate_subjects(connection) + _link(connection, keep)


def _separate_subjects(connection: Connection) -> list[str]:
    """Give agents with a password a subject of their own name space: earlier versions used their
    numbers, and a user of the CRM with that number became that agent."""
    joined = "'local:' || id" if connection.dialect.name == "sqlite" else "CONCAT('local:', id)"
    changed = run(
        connection,
        f"UPDATE omni_agents SET subject = {joined} WHERE email IS NOT NULL AND subject NOT LIKE "
        "'local:%'",
    ).rowcount
    return [f"{changed} agents with a password separated from the CRM's users"] if changed else []


def _fill_previews(connection: Connection, page: Mapping[str, int], keep: str) -> int:
    rows = run(connection, _NEWEST, {**page, "characters": _PREVIEW_CHARACTERS}).all()
    previews = {
        row.conversation_id: json.dumps(
            {
                "content": row.content or "",
                "senderType": row.who,
                "hasAttachments": False,
            },
            ensure_ascii=False,
        )
        for row in rows
    }
    return sum(
        _set_by_id(connection, "omni_preview", chunk, keep, "omni_preview IS NULL")
        for chunk in _chunks(previews)
    )


def _link(connection: Connection, keep: str) -> list[str]:
    """Give each Chatwoot conversation its key, where the company has exactly one Chatwoot
    integration it can belong to.
    """
    done = []
    for integration, numbers in sorted(_choose(connection).items()):
        count = 0
        for chunk in _chunks(numbers):
            free = _without_taken(connection, integration, chunk)
            # the number alone is nobody's key: both columns are set by one statement
            also = f", omni_integration_id = {int(integration)}{keep}"
            count += _set_by_id(
                connection,
                "omni_chatwoot_conversation_id",
                free,
                also,
                "omni_integration_id IS NULL",
            )
        if count:
            done.append(f"{_conversations(count)} linked to integration {integration}")
    return done


def _choose(connection: Connection) -> dict[int, dict[int, int]]:
    """Integration -> {conversation id: Chatwoot's number}. Of rows with the same number: newest
    last_message_at, then lowest id.

    All of a company's rows are seen before the first is written, so an interrupted run has linked
    no wrong one. Needs about 300 bytes of memory for each conversation not yet linked.
    """
    integrations = {row[0]: row[1] for row in run(connection, _ONLY_INTEGRATION)}
    best: dict[tuple[int, int], tuple[str, int]] = {}
    for page in _pages(connection) if integrations else ():
        for row in run(connection, _UNLINKED, page):
            match = _EXTERNAL_ID.fullmatch(row.external_user_id)
            if match and row.company_id in integrations:
                key = integrations[row.company_id], int(match[1])
                # as text, times of both dialects and MySQL's zero dates can be compared
                rank = str(row.last_message_at or ""), -row.id
                best[key] = max(best.get(key, rank), rank)
    chosen: dict[int, dict[int, int]] = {}
    for (integration, number), (_, negative_id) in best.items():
        chosen.setdefault(integration, {})[-negative_id] = number
    return chosen


def _without_taken(
    connection: Connection, integration: int, numbers: Mapping[int, int]
) -> dict[int, int]:
    """Numbers a conversation has already, since an earlier run or a webhook, stay with it."""
    marks = ", ".join(f":n{place}" for place in range(len(numbers)))
    sql = (
        "SELECT omni_chatwoot_conversation_id FROM social_conversations "
        f"WHERE omni_integration_id = :i AND omni_chatwoot_conversation_id IN ({marks})"
    )
    values = {f"n{place}": number for place, number in enumerate(numbers.values())}
    taken = {row[0] for row in run(connection, sql, {"i": integration, **values})}
    return {id_: number for id_, number in numbers.items() if number not in taken}


def _set_by_id(
    connection: Connection, column: str, values: Mapping[int, object], also: str, condition: str
) -> int:
    """Set one column to a value of its own in each row, and what `also` says in all of them: one
    statement for a chunk of rows.
    """
    if not values:
        return 0
    cases = " ".join(f"WHEN :i{place} THEN :v{place}" for place in range(len(values)))
    marks = ", ".join(f":i{place}" for place in range(len(values)))
    bound = {
        f"{letter}{place}": item
        for place, pair in enumerate(values.items())
        for letter, item in zip("iv", pair, strict=True)
    }
    sql = (
        f"UPDATE social_conversations SET {column} = CASE id {cases} END{also} WHERE id IN "
        f"({marks}) AND {condition}"
    )
    return int(run(connection, sql, bound).rowcount)


def _pages(connection: Connection) -> Iterator[dict[str, int]]:
    """Ranges of conversation ids, each with at most _PAGE rows in it: `{"low": ..., "high": ...}`,
    both included.
    """
    sql = """SELECT MIN(id), MAX(id) FROM (SELECT id FROM social_conversations WHERE id > :after ORDER BY id LIMIT :most) page"""  # noqa: E501
    after = -1
    while True:
        low, high = run(connection, sql, {"after": after, "most": _PAGE}).one()
        if high is None:
            return
        yield {"low": low, "high": high}
        after = high


def _chunks(values: Mapping[int, T]) -> Iterator[dict[int, T]]:
    items = sorted(values.items(), key=lambda item: item[0])
    return (
        dict(items[start : start + _UPDATE_ROWS]) for start in range(0, len(items), _UPDATE_ROWS)
    )


def _keep(touched: set[str]) -> str:
    """Assignments that hold these columns where they are: our filling is no change of the CRM's."""
    return "".join(f", `{name}` = `{name}`" for name in sorted(touched))


def keep_of(connection: Connection, table: str) -> str:
    """Assignments for an UPDATE of this table that is no change of the CRM's."""
    return _keep(_touched_by_updates(connection, table))


def _touched_by_updates(connection: Connection, table: str) -> set[str]:
    """Columns declared ON UPDATE CURRENT_TIMESTAMP: MySQL would set them to now."""
    if connection.dialect.name == "sqlite":
        return set()
    sql = """SELECT column_name FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = :name AND LOWER(extra) LIKE :like"""
    return {row[0] for row in run(connection, sql, {"name": table, "like": "%on update%"})}


def run(connection: Connection, sql: str, values: Mapping[str, object] | None = None) -> Any:
    """Execute, and again after a deadlock with the CRM's own writes: every statement commits by
    itself and may be repeated.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return connection.execute(text(sql), values or {})
        except sqlalchemy.exc.OperationalError as error:
            if attempt == _ATTEMPTS or error.orig is None or error.orig.args[0] not in _BUSY:
                raise
            time.sleep(0.1 * attempt)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _conversations(count: int) -> str:
    return "1 conversation" if count == 1 else f"{count} conversations"
