"""The one definition of the tables: DDL for both dialects, migrations and `schema.sql` are made
from it.

Three tables are older than this program and read by others: their documented columns keep names and
types (DATETIME, naive UTC). Our own columns hold times as BIGINT microseconds since the epoch, UTC.
Text is utf8mb4; ids and tokens compare binary (`_ID`).
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql

metadata = MetaData()

_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_ci",
    # a number once given is never given again, even when the newest row was deleted
    "sqlite_autoincrement": True,
}

# SQLite numbers rows by itself only for INTEGER PRIMARY KEY
_BIG = BigInteger().with_variant(Integer, "sqlite")
_TIME = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
# a message has up to 150,000 characters, four bytes each
_LONG = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")

_SEARCHED = Text().with_variant(
    mysql.MEDIUMTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


def _id_text(length: int) -> String:
    """Text that is compared byte by byte: MySQL's default would call `a` and `A ` equal."""
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


social_conversations = Table(
    "social_conversations",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("company_id", _BIG, nullable=False),
    Column("platform", Enum("facebook", "chatwoot", name="platform"), nullable=False),
    Column(
        "external_user_id",
        String(255),
        comment="chatwoot_{contactId}_{conversationId}; not the key: a contact merge changes it",
    ),
    Column("external_user_name", String(255)),
    Column("status", Enum("Open", "Closed", name="status"), nullable=False, server_default="Open"),
    Column("last_message_at", _TIME),
    Column("created_at", _TIME),
    Column("updated_at", _TIME),
    Column(
        "omni_integration_id",
        _BIG,
        comment="with chatwoot_conversation_id: the key of a Chatwoot conversation",
    ),
    Column(
        "omni_chatwoot_conversation_id", _BIG, comment="display id, unique per Chatwoot account"
    ),
    Column("omni_chatwoot_status", String(16), comment="open, resolved, pending, snoozed"),
    Column(
        "omni_chatwoot_version",
        _BIG,
        nullable=False,
        server_default="0",
        comment="updated_at of the newest state applied, microseconds",
    ),
    Column("omni_channel", String(64)),
    Column("omni_contact", Text, comment="JSON: id, email, phone, identifier"),
    Column("omni_assignee", Text, comment="JSON: id, name"),
    Column("omni_labels", Text, comment="JSON: list of text"),
    Column("omni_priority", String(16)),
    Column("omni_waiting_since", _BIG, comment="microseconds"),
    Column("omni_can_reply", Boolean(create_constraint=False)),
    Column(
        "omni_contact_seen_at",
        _BIG,
        comment="when the customer looked at it last, as Chatwoot says, microseconds",
    ),
    Column(
        "omni_preview",
        Text,
        comment="JSON: content, senderType, hasAttachments of the newest public message",
    ),
    Column(
        "omni_inbound_count",
        Integer,
        nullable=False,
        server_default="0",
        comment="messages the customer ever sent here",
    ),
    Column(
        "omni_last_inbound_at",
        _BIG,
        comment="when the customer wrote last, microseconds: reply windows begin there",
    ),
    Column(
        "omni_read_count",
        Integer,
        nullable=False,
        server_default="0",
        comment="of inbound_count: how many are read for everyone",
    ),
    Column(
        "omni_read_to",
        _BIG,
        nullable=False,
        server_default="0",
        comment="what came until then is read for everyone, microseconds",
    ),
    Column(
        "omni_gone_at", _BIG, comment="when Chatwoot said that it no longer has it, microseconds"
    ),
    Column(
        "omni_last_message_number",
        _BIG,
        comment="chatwoot_message_id of the message in preview: which of one second is the newest",
    ),
    Column(
        "omni_seq",
        _BIG,
        nullable=False,
        server_default="0",
        comment="event that changed this row last",
    ),
    Column(
        "omni_verified_at",
        _BIG,
        comment="when all of its messages in Chatwoot were last compared, microseconds",
    ),
    Column(
        "omni_told_at",
        _BIG,
        nullable=False,
        server_default="0",
        comment="when this state was told to us, microseconds of our clock",
    ),
    Column(
        "omni_former_number",
        _BIG,
        comment="display id that Chatwoot has given to another conversation since",
    ),
    Column(
        "omni_search_text",
        _SEARCHED,
        comment="customer's name, numbers and addresses in the form that is searched",
    ),
    Index(
        "omni_uq_conversation_chatwoot",
        "omni_integration_id",
        "omni_chatwoot_conversation_id",
        unique=True,
    ),
    Index("omni_ix_conversation_list", "company_id", "last_message_at", "id"),
    Index("omni_ix_conversation_status", "company_id", "status", "last_message_at", "id"),
    Index(
        "omni_ix_conversation_contact",
        "omni_integration_id",
        "external_user_id",
        mysql_length={"external_user_id": 40},
    ),
    comment="A customer's conversation with a company",
    **_OPTIONS,
)

social_messages = Table(
    "social_messages",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("conversation_id", _BIG, ForeignKey("social_conversations.id"), nullable=False),
    Column("sender_type", Enum("customer", "agent", name="sender_type"), nullable=False),
    Column("content", _LONG),
    Column("created_at", _TIME),
    Column("omni_chatwoot_message_id", _BIG, comment="unique in a Chatwoot installation"),
    Column(
        "omni_chatwoot_version",
        _BIG,
        nullable=False,
        server_default="0",
        comment="the conversation's updated_at then, microseconds",
    ),
    Column(
        "omni_told_at",
        _BIG,
        nullable=False,
        server_default="0",
        comment="when this state was told to us, microseconds of our clock",
    ),
    Column(
        "omni_client_id",
        _id_text(64),
        comment="Idempotency-Key of a reply written here; Chatwoot carries it as a marker",
    ),
    Column("omni_agent_id", _BIG, comment="agents.id of a reply written here"),
    Column("omni_sender_name", String(255)),
    Column("omni_content_type", String(32)),
    Column("omni_attachments", _LONG, comment="JSON: list"),
    Column("omni_is_private", Boolean(create_constraint=False), nullable=False, server_default="0"),
    Column("omni_is_deleted", Boolean(create_constraint=False), nullable=False, server_default="0"),
    Column(
        "omni_edited_at", _BIG, comment="when we were told another text than before, microseconds"
    ),
    Column(
        "omni_delivery_state",
        String(16),
        comment="outbox: sending, sent, failed; as Chatwoot tells: delivered, read",
    ),
    Column("omni_delivery_error", Text, comment="JSON: code, message"),
    Column("omni_delivery_attempts", SmallInteger, nullable=False, server_default="0"),
    Column(
        "omni_next_attempt_at", _BIG, comment="outbox: when the sender takes it next, microseconds"
    ),
    Column(
        "omni_is_outcome_unknown",
        Boolean(create_constraint=False),
        nullable=False,
        server_default="0",
        comment="an attempt may have reached Chatwoot",
    ),
    Column(
        "omni_chatwoot_answered_at",
        _BIG,
        comment="outbox: when Chatwoot first answered after an attempt of unknown outcome, "
        "microseconds",
    ),
    Column(
        "omni_seq",
        _BIG,
        nullable=False,
        server_default="0",
        comment="event that changed this row last",
    ),
    Column(
        "omni_former_number", _BIG, comment="id that Chatwoot has given to another message since"
    ),
    Column(
        "omni_search_text",
        _SEARCHED,
        comment="content in the form that is searched; NULL: not made yet",
    ),
    Index("omni_uq_message_chatwoot", "conversation_id", "omni_chatwoot_message_id", unique=True),
    Index("omni_uq_message_client", "conversation_id", "omni_client_id", unique=True),
    Index("omni_ix_message_thread", "conversation_id", "created_at", "id"),
    Index("omni_ix_message_outbox", "omni_delivery_state", "omni_next_attempt_at"),
    Index("omni_ix_message_answered", "omni_chatwoot_answered_at"),
    comment="A message of a conversation; replies written here are the outbox while delivery_state "
    "is sending",
    **_OPTIONS,
)

integrations = Table(
    "integrations",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("company_id", _BIG, nullable=False),
    Column("provider", Enum("facebook", "whatsapp", "chatwoot", name="provider"), nullable=False),
    Column("page_id", String(255), comment="Chatwoot inbox id"),
    Column("access_token", Text),
    Column("account_id", String(255), comment="Chatwoot account id"),
    Column("base_url", String(500)),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default="1"),
    Column(
        "is_webhook_active", Boolean(create_constraint=False), nullable=False, server_default="1"
    ),
    Column(
        "webhook_mode",
        Enum("local", "live", name="webhook_mode"),
        nullable=False,
        server_default="live",
    ),
    Column("created_at", _TIME),
    Column("updated_at", _TIME),
    Column("omni_webhook_secret", Text),
    Column(
        "omni_previous_webhook_secret",
        Text,
        comment="accepted beside the new one while a rotation is under way",
    ),
    Column(
        "omni_previous_secret_until",
        _BIG,
        comment="what was received later is not accepted with the previous secret, microseconds",
    ),
    Column(
        "omni_is_socket_active",
        Boolean(create_constraint=False),
        nullable=False,
        server_default="1",
        comment="hears /cable, too",
    ),
    Column(
        "omni_unsigned_webhooks",
        String(16),
        nullable=False,
        server_default="refused",
        comment="refused, keyed, accepted",
    ),
    Column(
        "omni_webhook_key",
        Text,
        comment="stands in the webhook's address where unsigned ones are `keyed`",
    ),
    Column(
        "omni_proved_at",
        _BIG,
        comment="when Chatwoot showed the inbox to the access token, microseconds; 1: older than "
        "proofs",
    ),
    Column("omni_webhook_seen_at", _BIG, comment="last accepted delivery, microseconds"),
    Column("omni_reconciled_at", _BIG, comment="up to here reconcile has looked, microseconds"),
    Column(
        "omni_walked_at",
        _BIG,
        comment="when the last round of reconcile began, in whatever process, microseconds",
    ),
    Column(
        "omni_repaired_at",
        _BIG,
        comment="when the newest of what reconcile repaired had happened, microseconds",
    ),
    Column("omni_walk_problem", String(255), comment="why the last round could not ask Chatwoot"),
    Column(
        "omni_lease_until",
        _BIG,
        nullable=False,
        server_default="0",
        comment="a process walks this integration until then, microseconds",
    ),
    Column(
        "omni_sync_page", Integer, nullable=False, server_default="0", comment="not used any more"
    ),
    Column(
        "omni_sync_began_at",
        _BIG,
        comment="when the sync began that has not come to its end, microseconds",
    ),
    Column(
        "omni_history_began_at",
        _BIG,
        comment="when the comparison of its history began that is under way, microseconds",
    ),
    Column(
        "omni_history_until",
        _BIG,
        nullable=False,
        server_default="0",
        comment="a process compares its history until then, microseconds",
    ),
    Column(
        "omni_verified_at",
        _BIG,
        comment="when all of its history was last found to be here, microseconds",
    ),
    Column(
        "omni_repaired_count",
        _BIG,
        nullable=False,
        server_default="0",
        comment="changes whose webhook was lost",
    ),
    Column(
        "omni_chatwoot_problem",
        String(500),
        comment="what Chatwoot lacks or refuses, as it was seen last",
    ),
    Column(
        "omni_watched_at",
        _BIG,
        comment="when that was looked at last, in whatever process, microseconds",
    ),
    Column("omni_inbox_name", String(255), comment="as Chatwoot had it last"),
    Column(
        "omni_deleted_at",
        _BIG,
        comment="when an administrator deleted it; the row stays for its conversations, "
        "microseconds",
    ),
    Column(
        "omni_reissued_at", _BIG, comment="when Chatwoot last gave out a number again, microseconds"
    ),
    Index("omni_ix_integration_company", "company_id"),
    comment="A Chatwoot inbox (or an older provider) of a company",
    **_OPTIONS,
)

found_by_asking = Table(
    "omni_found_by_asking",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("integration_id", _BIG, nullable=False),
    Column("kind", String(16), nullable=False, comment="message, edit, conversation"),
    Column(
        "number", _BIG, nullable=False, comment="Chatwoot's number of the message or conversation"
    ),
    Column("happened_at", _BIG, nullable=False, comment="by Chatwoot's clock, microseconds"),
    Column("found_at", _BIG, nullable=False, comment="microseconds"),
    Column("came_at", _BIG, comment="when its webhook came after all, microseconds"),
    Column("state", String(8), nullable=False, comment="open, late, lost"),
    Index("omni_ix_found_state", "state", "id"),
    Index("omni_ix_found_integration", "integration_id", "found_at"),
    comment="What asking Chatwoot found before any webhook told of it",
    **_OPTIONS,
)

webhook_deliveries = Table(
    "omni_webhook_deliveries",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column(
        "uid",
        _id_text(32),
        nullable=False,
        comment="made on arrival: makes a repeated append a no-op",
    ),
    Column("received_at", _BIG, nullable=False, comment="microseconds"),
    Column(
        "state",
        String(16),
        nullable=False,
        server_default="received",
        comment="received, done, ignored, dead",
    ),
    Column("reason", String(255)),
    Column("integration_id", _BIG, comment="known when the signature was checked on arrival"),
    Column("is_verified", Boolean(create_constraint=False), nullable=False, server_default="0"),
    Column("headers", Text, comment="JSON: what is needed to check the signature later"),
    Column("body", _LONG, nullable=False, comment="raw body, credentials stripped"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column(
        "next_attempt_at",
        _BIG,
        nullable=False,
        server_default="0",
        comment="microseconds; 0: at once",
    ),
    Column("finished_at", _BIG, comment="microseconds"),
    Column(
        "company_id",
        _BIG,
        nullable=False,
        server_default="0",
        comment="whose turn it takes in ingest; 0: not judged, -1: no one's",
    ),
    Index("omni_uq_delivery_uid", "uid", unique=True),
    Index("omni_ix_delivery_state", "state", "next_attempt_at", "id"),
    Index("omni_ix_delivery_turn", "state", "next_attempt_at", "company_id", "id"),
    Index("omni_ix_delivery_age", "received_at"),
    comment="The journal: every webhook delivery as it came",
    **_OPTIONS,
)

inbox_streams = Table(
    "omni_inbox_streams",
    metadata,
    Column("company_id", _BIG, primary_key=True, autoincrement=False),
    Column(
        "epoch", _id_text(16), nullable=False, comment="random name of one life of the event log"
    ),
    Column("head", _BIG, nullable=False, server_default="0", comment="newest seq"),
    Column(
        "floor",
        _BIG,
        nullable=False,
        server_default="0",
        comment="oldest kept seq less one: a cursor below it must reset",
    ),
    comment="One row a company; locked by every transaction that changes the company's state",
    **_OPTIONS,
)

inbox_events = Table(
    "omni_inbox_events",
    metadata,
    Column("company_id", _BIG, primary_key=True, autoincrement=False),
    Column("seq", _BIG, primary_key=True, autoincrement=False),
    Column("created_at", _BIG, nullable=False, comment="microseconds"),
    Column("body", _LONG, nullable=False, comment="the event as clients get it, JSON"),
    Index("omni_ix_event_age", "created_at"),
    comment="The event log: ordered and immutable",
    **_OPTIONS,
)

omni_crm_changes = Table(
    "omni_crm_changes",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column(
        "company_id",
        _BIG,
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
    Column("row_id", _BIG, nullable=False),
    Column("conversation_id", _BIG, nullable=False, server_default="0"),
    Index("omni_ix_crm_change_turn", "company_id", "id"),
    comment="Rows that another program wrote and that have no event yet; written by triggers, in "
    "that program's transaction",
    **_OPTIONS,
)

agents = Table(
    "omni_agents",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("company_id", _BIG, nullable=False),
    Column("subject", _id_text(128), nullable=False, comment="claim sub of this agent's tokens"),
    Column("email", String(255)),
    Column("name", String(255), nullable=False),
    Column("role", String(16), nullable=False, server_default="agent", comment="agent, admin"),
    Column("password_hash", Text),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default="1"),
    Column(
        "valid_after",
        _BIG,
        nullable=False,
        server_default="0",
        comment="tokens and sessions issued before are refused, microseconds",
    ),
    Column("created_at", _BIG, nullable=False, comment="microseconds"),
    Column("updated_at", _BIG, nullable=False, comment="microseconds; watched by every process"),
    Column(
        "preferences", Text, comment="JSON: what the agent has chosen; no change of `updated_at`"
    ),
    Column(
        "is_role_ours",
        Boolean(create_constraint=False),
        nullable=False,
        server_default="0",
        comment="an administrator here gave or took the role: the CRM's tokens cannot raise it",
    ),
    Index("omni_uq_agent_subject", "company_id", "subject", unique=True),
    Index("omni_uq_agent_email", "email", unique=True),
    Index("omni_ix_agent_updated", "updated_at"),
    comment="People who read and answer; those of the CRM are listed when first seen",
    **_OPTIONS,
)

agent_sessions = Table(
    "omni_agent_sessions",
    metadata,
    Column("token_hash", _id_text(64), primary_key=True, comment="SHA-256 of the cookie"),
    Column("agent_id", _BIG, nullable=False),
    Column("created_at", _BIG, nullable=False, comment="microseconds"),
    Column("expires_at", _BIG, nullable=False, comment="microseconds"),
    Column("revoked_at", _BIG, comment="microseconds"),
    Column("address", String(64), comment="IP address it was made from"),
    Column("client", String(255), comment="the browser's own name, User-Agent"),
    Index("omni_ix_session_agent", "agent_id"),
    Index("omni_ix_session_revoked", "revoked_at"),
    Index("omni_ix_session_expiry", "expires_at"),
    comment="Sign-ins of the web inbox",
    **_OPTIONS,
)

outgoing_files = Table(
    "omni_outgoing_files",
    metadata,
    Column("message_id", _BIG, primary_key=True, autoincrement=False),
    Column(
        "position",
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="index in the message's attachments",
    ),
    Column("upload", _id_text(32), nullable=False, comment="where its pieces are"),
    Column("name", String(255), nullable=False),
    Column("content_type", String(128), nullable=False),
    Column("size_bytes", _BIG, nullable=False),
    Column("digest", _id_text(64), nullable=False, comment="SHA-256 of the content"),
    Column("created_at", _BIG, nullable=False, comment="microseconds"),
    Index("omni_ix_outgoing_upload", "upload"),
    Index("omni_ix_outgoing_age", "created_at"),
    comment="Files of replies written here",
    **_OPTIONS,
)

outgoing_pieces = Table(
    "omni_outgoing_pieces",
    metadata,
    Column("upload", _id_text(32), primary_key=True),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    Column("piece", Integer, primary_key=True, autoincrement=False),
    Column(
        "content",
        LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"),
        nullable=False,
    ),
    Column("created_at", _BIG, nullable=False, comment="microseconds"),
    Index("omni_ix_piece_age", "created_at"),
    comment="The content of such files, until Chatwoot has it",
    **_OPTIONS,
)

canned_replies = Table(
    "omni_canned_replies",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("company_id", _BIG, nullable=False),
    Column("shortcut", _id_text(40), nullable=False, comment="lower case; what is typed after /"),
    Column("content", Text, nullable=False),
    Column("updated_at", _BIG, nullable=False, comment="microseconds"),
    Index("omni_uq_canned_shortcut", "company_id", "shortcut", unique=True),
    comment="Texts a company answers with again and again",
    **_OPTIONS,
)

conversation_reads = Table(
    "omni_conversation_reads",
    metadata,
    Column("agent_id", _BIG, primary_key=True, autoincrement=False),
    Column("conversation_id", _BIG, primary_key=True, autoincrement=False),
    Column(
        "read_count",
        Integer,
        nullable=False,
        comment="inbound_count up to which the agent has read",
    ),
    Column("message_id", _BIG),
    Column("updated_at", _BIG, nullable=False, comment="microseconds"),
    comment="How far each agent has read",
    **_OPTIONS,
)

second_factors = Table(
    "omni_second_factors",
    metadata,
    Column("agent_id", _BIG, primary_key=True, autoincrement=False),
    Column(
        "secret", Text, nullable=False, comment="of the authenticator app, sealed with SECRET_KEY"
    ),
    Column(
        "last_step",
        _BIG,
        nullable=False,
        comment="time step of the code used last: each counts once",
    ),
    Column("created_at", _BIG, nullable=False, comment="microseconds"),
    comment="Agents who sign in with a code beside their password",
    **_OPTIONS,
)

recovery_codes = Table(
    "omni_recovery_codes",
    metadata,
    Column("agent_id", _BIG, primary_key=True, autoincrement=False),
    Column(
        "code_hash",
        _id_text(64),
        primary_key=True,
        comment="SHA-256; the code itself was shown once",
    ),
    Column("used_at", _BIG, comment="microseconds"),
    comment="Codes that stand in for a phone that is gone, each once",
    **_OPTIONS,
)

sign_in_tickets = Table(
    "omni_sign_in_tickets",
    metadata,
    Column(
        "token_hash", _id_text(64), primary_key=True, comment="SHA-256 of what the browser holds"
    ),
    Column("agent_id", _BIG, nullable=False),
    Column("new_secret", Text, comment="sealed; set where the second factor is being set up"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("expires_at", _BIG, nullable=False, comment="microseconds"),
    Index("omni_ix_ticket_expiry", "expires_at"),
    comment="Sign-ins between password and code",
    **_OPTIONS,
)

company_policies = Table(
    "omni_company_policies",
    metadata,
    Column("company_id", _BIG, primary_key=True, autoincrement=False),
    Column(
        "requires_second_factor",
        Boolean(create_constraint=False),
        nullable=False,
        server_default="0",
    ),
    Column("updated_at", _BIG, nullable=False, comment="microseconds"),
    comment="What a company's administrators ask of its agents",
    **_OPTIONS,
)

invitations = Table(
    "omni_invitations",
    metadata,
    Column("token_hash", _id_text(64), primary_key=True, comment="SHA-256 of the link's token"),
    Column("company_id", _BIG, nullable=False),
    Column("email", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("role", String(16), nullable=False, comment="agent, admin"),
    Column("created_at", _BIG, nullable=False, comment="microseconds"),
    Column("expires_at", _BIG, nullable=False, comment="microseconds"),
    Column("accepted_at", _BIG, comment="microseconds"),
    Column("invited_by", _BIG, comment="agents.id of who made it; none: a command on the server"),
    Index("omni_ix_invitation_expiry", "expires_at"),
    Index("omni_ix_invitation_company", "company_id", "expires_at"),
    comment="Links by which somebody becomes an agent, or an agent sets a new password",
    **_OPTIONS,
)

setup_keys = Table(
    "omni_setup_keys",
    metadata,
    Column(
        "purpose",
        _id_text(32),
        primary_key=True,
        comment="first administrator: there is one key at a time",
    ),
    Column(
        "token_hash",
        _id_text(64),
        nullable=False,
        comment="SHA-256 of the key; the key itself is in the process that shows it",
    ),
    Column(
        "heard_at", _BIG, nullable=False, comment="the process that shows it lives, microseconds"
    ),
    comment="The key by which the first administrator is made, while there is none",
    **_OPTIONS,
)

sync_runs = Table(
    "omni_sync_runs",
    metadata,
    Column("integration_id", _BIG, primary_key=True, autoincrement=False),
    Column(
        "state",
        String(16),
        nullable=False,
        comment="asked, running, stopping, stopped, done, failed",
    ),
    Column("asked_at", _BIG, nullable=False, comment="microseconds"),
    Column("started_at", _BIG, comment="when the walk began or went on, microseconds"),
    Column("updated_at", _BIG, nullable=False, comment="the walking process lives, microseconds"),
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
    **_OPTIONS,
)

sync_leases = Table(
    "omni_sync_leases",
    metadata,
    Column("integration_id", _BIG, primary_key=True, autoincrement=False),
    Column("holder", _id_text(32), nullable=False, comment="the walk that has it"),
    Column(
        "lease_until",
        _BIG,
        nullable=False,
        comment="by then it has said that it lives, microseconds; 0: it has ended",
    ),
    Column(
        "outcome", Text, comment="JSON of what the last walk found, for those who waited for it"
    ),
    comment="Which walk through an integration's Chatwoot is the only one of all processes",
    **_OPTIONS,
)

chatwoot_sockets = Table(
    "omni_chatwoot_sockets",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("company_id", _BIG, nullable=False),
    Column(
        "place",
        _id_text(64),
        nullable=False,
        comment="SHA-256 of the Chatwoot's address and the account's number",
    ),
    Column("holder", _id_text(32), nullable=False, comment="process that listens there"),
    Column(
        "lease_until",
        _BIG,
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
    Column("connected_at", _BIG, comment="microseconds"),
    Column("heard_at", _BIG, comment="last news, microseconds"),
    Column("behind_us", _BIG, comment="how long the last new message had taken, microseconds"),
    Index("omni_uq_chatwoot_socket", "company_id", "place", unique=True),
    comment="Which process listens to the agents' socket of a company's Chatwoot account, and how "
    "that goes",
    **_OPTIONS,
)

event_reach = Table(
    "omni_event_reach",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("company_id", _BIG, nullable=False),
    Column("first_seq", _BIG, nullable=False),
    Column("last_seq", _BIG, nullable=False),
    Column("first_at", _BIG, nullable=False, comment="written to the first socket, microseconds"),
    Column("last_at", _BIG, nullable=False, comment="written to the last socket, microseconds"),
    Column("sockets", Integer, nullable=False, comment="sockets of this process it was written to"),
    Index("omni_ix_reach_seq", "company_id", "last_seq"),
    Index("omni_ix_reach_age", "last_at"),
    comment="When runs of events were written to the agents of one process: a row for each walk, "
    "not "
    "for each socket",
    **_OPTIONS,
)

installation = Table(
    "omni_installation",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True, comment="always 1"),
    Column("name", _id_text(32), nullable=False),
    Column(
        "secret",
        _id_text(64),
        nullable=False,
        comment="signs what processes tell each other over the bus",
    ),
    Column("created_at", _BIG, nullable=False, comment="microseconds"),
    comment="What makes the processes on this database one installation; a copy of the database "
    "should get another row",
    **_OPTIONS,
)

audit_log = Table(
    "omni_audit_log",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("company_id", _BIG, nullable=False),
    Column("at", _BIG, nullable=False, comment="microseconds"),
    Column(
        "agent_id",
        _BIG,
        comment="agents.id of who did it; none: a command on the server, or somebody unknown",
    ),
    Column(
        "actor",
        String(255),
        nullable=False,
        comment="name or address of who did it, as it was then",
    ),
    Column("act", String(64), nullable=False),
    Column("target", String(255), comment="what it was done to"),
    Column("detail", Text, comment="JSON; never a secret, never a message's text"),
    Column("address", String(64), comment="IP address it came from"),
    Column("client", String(255), comment="the client's own name, User-Agent"),
    Index("omni_ix_audit_company", "company_id", "id"),
    Index("omni_ix_audit_age", "at"),
    Index("omni_ix_audit_agent", "agent_id", "act", "at"),
    comment="Administrative acts, and attempts at what is not theirs",
    **_OPTIONS,
)
