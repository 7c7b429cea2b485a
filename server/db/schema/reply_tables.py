"""What agents send and keep: files of replies, canned replies, how far they have read."""

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql

from server.db.schema.column_types import BIG, TABLE_OPTIONS, id_text, metadata

outgoing_files = Table(
    "omni_outgoing_files",
    metadata,
    Column("message_id", BIG, primary_key=True, autoincrement=False),
    Column(
        "position",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="index in the message's attachments",
    ),
    Column("upload", id_text(32), nullable=False, comment="where its pieces are"),
    Column("name", String(255), nullable=False),
    Column("content_type", String(128), nullable=False),
    Column("size_bytes", BIG, nullable=False),
    Column("digest", id_text(64), nullable=False, comment="SHA-256 of the content"),
    Column("created_at", BIG, nullable=False, comment="microseconds"),
    Index("omni_ix_outgoing_upload", "upload"),
    Index("omni_ix_outgoing_age", "created_at"),
    comment="Files of replies written here",
    **TABLE_OPTIONS,
)


outgoing_pieces = Table(
    "omni_outgoing_pieces",
    metadata,
    Column("upload", id_text(32), primary_key=True),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    Column("piece", Integer, primary_key=True, autoincrement=False),
    Column(
        "content",
        LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"),
        nullable=False,
    ),
    Column("created_at", BIG, nullable=False, comment="microseconds"),
    Index("omni_ix_piece_age", "created_at"),
    comment="The content of such files, until Chatwoot has it",
    **TABLE_OPTIONS,
)


canned_replies = Table(
    "omni_canned_replies",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("company_id", BIG, nullable=False),
    Column("shortcut", id_text(40), nullable=False, comment="lower case; what is typed after /"),
    Column("content", Text, nullable=False),
    Column("updated_at", BIG, nullable=False, comment="microseconds"),
    Index("omni_uq_canned_shortcut", "company_id", "shortcut", unique=True),
    comment="Texts a company answers with again and again",
    **TABLE_OPTIONS,
)


conversation_reads = Table(
    "omni_conversation_reads",
    metadata,
    Column("agent_id", BIG, primary_key=True, autoincrement=False),
    Column("conversation_id", BIG, primary_key=True, autoincrement=False),
    Column(
        "read_count",
        Integer,
        nullable=False,
        comment="inbound_count up to which the agent has read",
    ),
    Column("message_id", BIG),
    Column("updated_at", BIG, nullable=False, comment="microseconds"),
    comment="How far each agent has read",
    **TABLE_OPTIONS,
)
