"""The event log: streams and events, when they reached agents, and changes of the CRM's rows that
wait for their event.
"""

from sqlalchemy import (
    Column,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
)

from server.db.schema.column_types import BIG, LONG, TABLE_OPTIONS, id_text, metadata

inbox_streams = Table(
    "omni_inbox_streams",
    metadata,
    Column("company_id", BIG, primary_key=True, autoincrement=False),
    Column(
        "epoch", id_text(16), nullable=False, comment="random name of one life of the event log"
    ),
    Column("head", BIG, nullable=False, server_default="0", comment="newest seq"),
    Column(
        "floor",
        BIG,
        nullable=False,
        server_default="0",
        comment="oldest kept seq less one: a cursor below it must reset",
    ),
    comment="One row a company; locked by every transaction that changes the company's state",
    **TABLE_OPTIONS,
)


inbox_events = Table(
    "omni_inbox_events",
    metadata,
    Column("company_id", BIG, primary_key=True, autoincrement=False),
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("created_at", BIG, nullable=False, comment="microseconds"),
    Column("body", LONG, nullable=False, comment="the event as clients get it, JSON"),
    Index("omni_ix_event_age", "created_at"),
    comment="The event log: ordered and immutable",
    **TABLE_OPTIONS,
)


omni_crm_changes = Table(
    "omni_crm_changes",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column(
        "company_id",
        BIG,
        comment="whose turn it takes; NULL: not looked up; below 0: of no company",
    ),
    Column(
        "subject",
        SmallInteger,
        nullable=False,
        comment="1 conversation, 2 message, 3 integration, 4 compare everything, 5 polled so far",
    ),
    Column(
        "act",
        String(1),
        nullable=False,
        comment="I inserted, U updated, D deleted or moved, A address of an integration",
    ),
    Column("row_id", BIG, nullable=False),
    Column("conversation_id", BIG, nullable=False, server_default="0"),
    Index("omni_ix_crm_change_turn", "company_id", "id"),
    comment="Rows that another program wrote and that have no event yet; written by triggers, in "
    "that program's transaction",
    **TABLE_OPTIONS,
)


event_reach = Table(
    "omni_event_reach",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("company_id", BIG, nullable=False),
    Column("first_seq", BIG, nullable=False),
    Column("last_seq", BIG, nullable=False),
    Column("first_at", BIG, nullable=False, comment="written to the first socket, microseconds"),
    Column("last_at", BIG, nullable=False, comment="written to the last socket, microseconds"),
    Column("sockets", Integer, nullable=False, comment="sockets of this process it was written to"),
    Index("omni_ix_reach_seq", "company_id", "last_seq"),
    Index("omni_ix_reach_age", "last_at"),
    comment="When runs of events were written to the agents of one process: a row for each walk, "
    "not "
    "for each socket",
    **TABLE_OPTIONS,
)
