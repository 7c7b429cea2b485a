"""The three tables that are older than this program and read by others. Their documented columns
keep names and types (DATETIME, naive UTC); what is ours begins with `omni_`.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Enum,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
)

from server.db.schema.column_types import (
    BIG,
    LONG,
    SEARCHED,
    TABLE_OPTIONS,
    TIME,
    id_text,
    metadata,
)

social_conversations = Table(
    "social_conversations",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("company_id", BIG, nullable=False),
    Column("platform", Enum("facebook", "chatwoot", name="platform"), nullable=False),
    Column(
        "external_user_id",
        String(255),
        comment="chatwoot_{contactId}_{conversationId}; not the key: a contact merge changes it",
    ),
    Column("external_user_name", String(255)),
    Column("status", Enum("Open", "Closed", name="status"), nullable=False, server_default="Open"),
    Column("last_message_at", TIME),
    Column("created_at", TIME),
    Column("updated_at", TIME),
    Column(
        "omni_integration_id",
        BIG,
        comment="with chatwoot_conversation_id: the key of a Chatwoot conversation",
    ),
    Column("omni_chatwoot_conversation_id", BIG, comment="display id, unique per Chatwoot account"),
    Column("omni_chatwoot_status", String(16), comment="open, resolved, pending, snoozed"),
    Column(
        "omni_chatwoot_version",
        BIG,
        nullable=False,
        server_default="0",
        comment="updated_at of the newest state applied, microseconds",
    ),
    Column("omni_channel", String(64)),
    Column("omni_contact", Text, comment="JSON: id, email, phone, identifier"),
    Column("omni_assignee", Text, comment="JSON: id, name"),
    Column("omni_labels", Text, comment="JSON: list of text"),
    Column("omni_priority", String(16)),
    Column("omni_waiting_since", BIG, comment="microseconds"),
    Column("omni_can_reply", Boolean(create_constraint=False)),
    Column(
        "omni_contact_seen_at",
        BIG,
        comment="when the customer looked at it last, as Chatwoot says, microseconds",
    ),
    Column(
        "omni_preview",
        Text,
        comment="JSON: the message that stands for it in the list, and the reply that was not sent",
    ),
    Column(
        "omni_is_unsent",
        Boolean(create_constraint=False),
        nullable=False,
        server_default="0",
        comment="whether omni_preview names a reply that was not sent: found by an index",
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
        BIG,
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
        BIG,
        nullable=False,
        server_default="0",
        comment="what came until then is read for everyone, microseconds",
    ),
    Column(
        "omni_gone_at", BIG, comment="when Chatwoot said that it no longer has it, microseconds"
    ),
    Column(
        "omni_last_message_number",
        BIG,
        comment="chatwoot_message_id of the newest public message: which of one second it is",
    ),
    Column(
        "omni_seq",
        BIG,
        nullable=False,
        server_default="0",
        comment="event that changed this row last",
    ),
    Column(
        "omni_verified_at",
        BIG,
        comment="when all of its messages in Chatwoot were last compared, microseconds",
    ),
    Column(
        "omni_told_at",
        BIG,
        nullable=False,
        server_default="0",
        comment="when this state was told to us, microseconds of our clock",
    ),
    Column(
        "omni_former_number",
        BIG,
        comment="display id that Chatwoot has given to another conversation since",
    ),
    Column(
        "omni_marks",
        Text,
        comment="JSON: snoozed_until_us, team, is_blocked, inbox_name, mail_subject, given_email",
    ),
    Column(
        "omni_search_text",
        SEARCHED,
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
    Index("omni_ix_conversation_unsent", "company_id", "omni_is_unsent"),
    Index(
        "omni_ix_conversation_contact",
        "omni_integration_id",
        "external_user_id",
        mysql_length={"external_user_id": 40},
    ),
    comment="A customer's conversation with a company",
    **TABLE_OPTIONS,
)


social_messages = Table(
    "social_messages",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("conversation_id", BIG, ForeignKey("social_conversations.id"), nullable=False),
    Column("sender_type", Enum("customer", "agent", name="sender_type"), nullable=False),
    Column("content", LONG),
    Column("created_at", TIME),
    Column("omni_chatwoot_message_id", BIG, comment="unique in a Chatwoot installation"),
    Column(
        "omni_chatwoot_version",
        BIG,
        nullable=False,
        server_default="0",
        comment="the conversation's updated_at then, microseconds",
    ),
    Column(
        "omni_told_at",
        BIG,
        nullable=False,
        server_default="0",
        comment="when this state was told to us, microseconds of our clock",
    ),
    Column(
        "omni_client_id",
        id_text(64),
        comment="Idempotency-Key of a reply written here; Chatwoot carries it as a marker",
    ),
    Column("omni_agent_id", BIG, comment="agents.id of a reply written here"),
    Column("omni_sender_name", String(255)),
    Column("omni_content_type", String(32)),
    Column("omni_attachments", LONG, comment="JSON: list"),
    Column("omni_is_private", Boolean(create_constraint=False), nullable=False, server_default="0"),
    Column("omni_is_deleted", Boolean(create_constraint=False), nullable=False, server_default="0"),
    Column(
        "omni_edited_at", BIG, comment="when we were told another text than before, microseconds"
    ),
    Column(
        "omni_delivery_state",
        String(16),
        comment="outbox: sending, sent, failed; as Chatwoot tells: delivered, read",
    ),
    Column("omni_delivery_error", Text, comment="JSON: code, message"),
    Column("omni_delivery_attempts", SmallInteger, nullable=False, server_default="0"),
    Column(
        "omni_next_attempt_at", BIG, comment="outbox: when the sender takes it next, microseconds"
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
        BIG,
        comment="outbox: when Chatwoot first answered after an attempt of unknown outcome, "
        "microseconds",
    ),
    Column(
        "omni_seq",
        BIG,
        nullable=False,
        server_default="0",
        comment="event that changed this row last",
    ),
    Column(
        "omni_former_number", BIG, comment="id that Chatwoot has given to another message since"
    ),
    Column(
        "omni_request",
        LONG,
        comment="JSON: what a reply written here was asked to be, besides its text",
    ),
    Column(
        "omni_details", LONG, comment="JSON: what it has besides its text and files, NULL: nothing"
    ),
    Column(
        "omni_search_text",
        SEARCHED,
        comment="content in the form that is searched; NULL: not made yet",
    ),
    Index("omni_uq_message_chatwoot", "conversation_id", "omni_chatwoot_message_id", unique=True),
    Index("omni_uq_message_client", "conversation_id", "omni_client_id", unique=True),
    Index("omni_ix_message_thread", "conversation_id", "created_at", "id"),
    Index("omni_ix_message_outbox", "omni_delivery_state", "omni_next_attempt_at"),
    Index("omni_ix_message_answered", "omni_chatwoot_answered_at"),
    comment="A message of a conversation; replies written here are the outbox while delivery_state "
    "is sending",
    **TABLE_OPTIONS,
)


integrations = Table(
    "integrations",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("company_id", BIG, nullable=False),
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
    Column("created_at", TIME),
    Column("updated_at", TIME),
    Column("omni_webhook_secret", Text),
    Column(
        "omni_previous_webhook_secret",
        Text,
        comment="accepted beside the new one while a rotation is under way",
    ),
    Column(
        "omni_previous_secret_until",
        BIG,
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
        BIG,
        comment="when Chatwoot showed the inbox to the access token, microseconds; 1: older than "
        "proofs",
    ),
    Column("omni_webhook_seen_at", BIG, comment="last accepted delivery, microseconds"),
    Column("omni_reconciled_at", BIG, comment="up to here reconcile has looked, microseconds"),
    Column(
        "omni_walked_at",
        BIG,
        comment="when the last round of reconcile began, in whatever process, microseconds",
    ),
    Column(
        "omni_repaired_at",
        BIG,
        comment="when the newest of what reconcile repaired had happened, microseconds",
    ),
    Column("omni_walk_problem", String(255), comment="why the last round could not ask Chatwoot"),
    Column(
        "omni_lease_until",
        BIG,
        nullable=False,
        server_default="0",
        comment="a process walks this integration until then, microseconds",
    ),
    Column(
        "omni_sync_page", Integer, nullable=False, server_default="0", comment="not used any more"
    ),
    Column(
        "omni_sync_began_at",
        BIG,
        comment="when the sync began that has not come to its end, microseconds",
    ),
    Column(
        "omni_history_began_at",
        BIG,
        comment="when the comparison of its history began that is under way, microseconds",
    ),
    Column(
        "omni_history_until",
        BIG,
        nullable=False,
        server_default="0",
        comment="a process compares its history until then, microseconds",
    ),
    Column(
        "omni_verified_at",
        BIG,
        comment="when all of its history was last found to be here, microseconds",
    ),
    Column(
        "omni_repaired_count",
        BIG,
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
        BIG,
        comment="when that was looked at last, in whatever process, microseconds",
    ),
    Column("omni_inbox_name", String(255), comment="as Chatwoot had it last"),
    Column("omni_token_user_id", BIG, comment="the access token's owner, as Chatwoot had it last"),
    Column(
        "omni_inbox_addresses",
        String(600),
        comment="where mail to the inbox goes, as Chatwoot had it last, with commas",
    ),
    Column(
        "omni_deleted_at",
        BIG,
        comment="when an administrator deleted it; the row stays for its conversations, "
        "microseconds",
    ),
    Column(
        "omni_reissued_at", BIG, comment="when Chatwoot last gave out a number again, microseconds"
    ),
    Column(
        "omni_refused_own_tokens",
        String(16),
        nullable=False,
        server_default="fail",
        comment="what becomes of a reply whose agent's own token is refused: fail, fallback",
    ),
    Index("omni_ix_integration_company", "company_id"),
    comment="A Chatwoot inbox (or an older provider) of a company",
    **TABLE_OPTIONS,
)
