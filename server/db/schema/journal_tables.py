"""The journal of deliveries, and how they came: what asking found, syncs, sockets."""

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
)

from server.db.schema.column_types import BIG, LONG, TABLE_OPTIONS, id_text, metadata

found_by_asking = Table(
    "omni_found_by_asking",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("integration_id", BIG, nullable=False),
    Column("kind", String(16), nullable=False, comment="message, edit, conversation"),
    Column(
        "number", BIG, nullable=False, comment="Chatwoot's number of the message or conversation"
    ),
    Column("happened_at", BIG, nullable=False, comment="by Chatwoot's clock, microseconds"),
    Column("found_at", BIG, nullable=False, comment="microseconds"),
    Column("came_at", BIG, comment="when its webhook came after all, microseconds"),
    Column("state", String(8), nullable=False, comment="open, late, lost"),
    Index("omni_ix_found_state", "state", "id"),
    Index("omni_ix_found_integration", "integration_id", "found_at"),
    comment="What asking Chatwoot found before any webhook told of it",
    **TABLE_OPTIONS,
)


webhook_deliveries = Table(
    "omni_webhook_deliveries",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column(
        "uid",
        id_text(32),
        nullable=False,
        comment="made on arrival: makes a repeated append a no-op",
    ),
    Column("received_at", BIG, nullable=False, comment="microseconds"),
    Column(
        "state",
        String(16),
        nullable=False,
        server_default="received",
        comment="received, done, ignored, dead",
    ),
    Column("reason", String(255)),
    Column("integration_id", BIG, comment="known when the signature was checked on arrival"),
    Column("is_verified", Boolean(create_constraint=False), nullable=False, server_default="0"),
    Column("headers", Text, comment="JSON: what is needed to check the signature later"),
    Column("body", LONG, nullable=False, comment="raw body, credentials stripped"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column(
        "next_attempt_at",
        BIG,
        nullable=False,
        server_default="0",
        comment="microseconds; 0: at once",
    ),
    Column("finished_at", BIG, comment="microseconds"),
    Column(
        "company_id",
        BIG,
        nullable=False,
        server_default="0",
        comment="whose turn it takes in ingest; 0: not judged, -1: no one's",
    ),
    Index("omni_uq_delivery_uid", "uid", unique=True),
    Index("omni_ix_delivery_state", "state", "next_attempt_at", "id"),
    Index("omni_ix_delivery_turn", "state", "next_attempt_at", "company_id", "id"),
    Index("omni_ix_delivery_age", "received_at"),
    comment="The journal: every webhook delivery as it came",
    **TABLE_OPTIONS,
)


sync_runs = Table(
    "omni_sync_runs",
    metadata,
    Column("integration_id", BIG, primary_key=True, autoincrement=False),
    Column(
        "state",
        String(16),
        nullable=False,
        comment="asked, running, stopping, stopped, done, failed",
    ),
    Column("asked_at", BIG, nullable=False, comment="microseconds"),
    Column("started_at", BIG, comment="when the walk began or went on, microseconds"),
    Column("updated_at", BIG, nullable=False, comment="the walking process lives, microseconds"),
    Column("total", Integer, comment="conversations there are in Chatwoot"),
    Column("conversations", Integer, nullable=False, server_default="0", comment="walked"),
    Column(
        "walked_before",
        Integer,
        nullable=False,
        server_default="0",
        comment="of these, before the walk went on: no part of its rate",
    ),
    Column("messages", Integer, nullable=False, server_default="0", comment="read"),
    Column(
        "created",
        Integer,
        nullable=False,
        server_default="0",
        comment="messages that were not here",
    ),
    Column("problem", String(255)),
    comment="The last sync of each integration that was asked for on its page: how far it came",
    **TABLE_OPTIONS,
)


sync_leases = Table(
    "omni_sync_leases",
    metadata,
    Column("integration_id", BIG, primary_key=True, autoincrement=False),
    Column("holder", id_text(32), nullable=False, comment="the walk that has it"),
    Column(
        "lease_until",
        BIG,
        nullable=False,
        comment="by then it has said that it lives, microseconds; 0: it has ended",
    ),
    Column(
        "outcome", Text, comment="JSON of what the last walk found, for those who waited for it"
    ),
    comment="Which walk through an integration's Chatwoot is the only one of all processes",
    **TABLE_OPTIONS,
)


chatwoot_sockets = Table(
    "omni_chatwoot_sockets",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("company_id", BIG, nullable=False),
    Column(
        "place",
        id_text(64),
        nullable=False,
        comment="SHA-256 of the Chatwoot's address and the account's number",
    ),
    Column("holder", id_text(32), nullable=False, comment="process that listens there"),
    Column(
        "lease_until",
        BIG,
        nullable=False,
        comment="by then it has said that it lives, microseconds",
    ),
    Column(
        "state",
        String(16),
        nullable=False,
        server_default="away",
        comment="away, connecting, live, refused",
    ),
    Column("problem", String(255)),
    Column("connected_at", BIG, comment="microseconds"),
    Column("heard_at", BIG, comment="last news, microseconds"),
    Column("behind_us", BIG, comment="how long the last new message had taken, microseconds"),
    Index("omni_uq_chatwoot_socket", "company_id", "place", unique=True),
    comment="Which process listens to the agents' socket of a company's Chatwoot account, and how "
    "that goes",
    **TABLE_OPTIONS,
)
