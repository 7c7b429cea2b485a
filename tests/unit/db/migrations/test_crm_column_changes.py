"""A column of the CRM keeps everything but what stops it from holding our values."""

import msgspec
import pytest
from sqlalchemy import Column

from server.core.state.entities import Attachment
from server.db.migrations.crm_column_changes import widened
from server.db.schema import columns
from server.db.schema.shared_tables import integrations, social_conversations, social_messages

_CONTENT: Column[object] = social_messages.c.content
_CREATED: Column[object] = social_messages.c.created_at
_NAME: Column[object] = social_conversations.c.external_user_name
_TOKEN: Column[object] = integrations.c.access_token
_STATUS: Column[object] = social_conversations.c.status
_PLATFORM: Column[object] = social_conversations.c.platform


@pytest.mark.parametrize(
    ("column", "definition", "wanted"),
    [
        (_CREATED, "datetime", "datetime(6)"),
        (_CREATED, "datetime(3) DEFAULT NULL", "datetime(6) DEFAULT NULL"),
        (
            _CREATED,
            "datetime NOT NULL DEFAULT CURRENT_TIMESTAMP",
            "datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)",
        ),
        (
            _CREATED,
            "datetime(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3)",
            "datetime(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)",
        ),
        (
            _CREATED,
            "timestamp NULL DEFAULT current_timestamp()",
            "timestamp(6) NULL DEFAULT CURRENT_TIMESTAMP(6)",
        ),
        (
            _CREATED,
            "datetime COMMENT 'a datetime, current_timestamp()'",
            "datetime(6) COMMENT 'a datetime, current_timestamp()'",
        ),
        (_CONTENT, "text DEFAULT NULL", "mediumtext DEFAULT NULL"),
        (
            _CONTENT,
            "text CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci NOT NULL",
            "mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL",
        ),
        (
            _NAME,
            "varchar(100) NOT NULL DEFAULT '' COMMENT 'NOT NULL'",
            "varchar(255) NOT NULL DEFAULT '' COMMENT 'NOT NULL'",
        ),
        (
            _NAME,
            "varchar(255) CHARACTER SET ascii COLLATE ascii_bin",
            "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        ),
        (
            _NAME,
            "varchar(255) CHARACTER SET latin1",
            "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
        ),
        (_CONTENT, "varchar(191) NOT NULL DEFAULT 'x'", "mediumtext NOT NULL DEFAULT 'x'"),
        (
            _CONTENT,
            "char(100) COLLATE utf8mb4_bin NOT NULL",
            "mediumtext COLLATE utf8mb4_bin NOT NULL",
        ),
        (_CONTENT, "varchar(2000)", "mediumtext"),
        (_CONTENT, "tinytext NOT NULL", "mediumtext NOT NULL"),
        (_TOKEN, "varchar(100) NOT NULL COMMENT 'secret'", "text NOT NULL COMMENT 'secret'"),
        (_NAME, "char(36) NOT NULL", "varchar(255) NOT NULL"),
        (_STATUS, "enum('Pending','Open') NOT NULL", "enum('Pending','Open','Closed') NOT NULL"),
        (_PLATFORM, "enum('FACEBOOK')", "enum('FACEBOOK','chatwoot')"),
    ],
)
def test_a_narrow_column_is_widened(column: Column[object], definition: str, wanted: str) -> None:
    """Type and character set change; NOT NULL, default, ON UPDATE, collation and comment stay. A
    list grows at its end.
    """
    assert widened(definition, column)[0] == wanted


@pytest.mark.parametrize(
    ("column", "definition"),
    [
        (_CREATED, "datetime(6) NOT NULL DEFAULT current_timestamp(6)"),
        (_CREATED, "timestamp(6) NULL DEFAULT NULL"),
        (_CONTENT, "mediumtext DEFAULT NULL"),
        (_CONTENT, "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL"),
        (_NAME, "varchar(500) COLLATE utf8mb4_general_ci DEFAULT NULL"),
        (_TOKEN, "mediumtext DEFAULT NULL"),
        (_TOKEN, "text NOT NULL"),
        (_STATUS, "enum('OPEN','PENDING','CLOSED') NOT NULL DEFAULT 'OPEN'"),
    ],
)
def test_a_wide_column_is_left_alone(column: Column[object], definition: str) -> None:
    """No change, so no ALTER TABLE: upgrading again costs nothing."""
    assert widened(definition, column) == (definition, [])


def test_names_of_files_in_older_rows_are_read_without_what_turns_their_letters_around() -> None:
    """As those that come now are stored."""
    names = ("\u202egnp.exe", "صورة.png", None)
    stored = msgspec.json.encode(
        [Attachment(number, "file", name=name) for number, name in enumerate(names, 1)]
    )
    assert [one.name for one in columns._attachments(stored.decode())] == [
        "gnp.exe",
        "صورة.png",
        None,
    ]
