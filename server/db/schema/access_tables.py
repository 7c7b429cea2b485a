"""Agents, their sessions, second factors and own tokens, invitations, the audit log."""

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
)

from server.db.schema.column_types import BIG, TABLE_OPTIONS, id_text, metadata

agents = Table(
    "omni_agents",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("company_id", BIG, nullable=False),
    Column("subject", id_text(128), nullable=False, comment="claim sub of this agent's tokens"),
    Column("email", String(255)),
    Column("name", String(255), nullable=False),
    Column("role", String(16), nullable=False, server_default="agent", comment="agent, admin"),
    Column("password_hash", Text),
    Column("is_active", Boolean(create_constraint=False), nullable=False, server_default="1"),
    Column(
        "valid_after",
        BIG,
        nullable=False,
        server_default="0",
        comment="tokens and sessions issued before are refused, microseconds",
    ),
    Column("created_at", BIG, nullable=False, comment="microseconds"),
    Column("updated_at", BIG, nullable=False, comment="microseconds; watched by every process"),
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
    **TABLE_OPTIONS,
)


agent_sessions = Table(
    "omni_agent_sessions",
    metadata,
    Column("token_hash", id_text(64), primary_key=True, comment="SHA-256 of the cookie"),
    Column("agent_id", BIG, nullable=False),
    Column("created_at", BIG, nullable=False, comment="microseconds"),
    Column("expires_at", BIG, nullable=False, comment="microseconds"),
    Column("revoked_at", BIG, comment="microseconds"),
    Column("address", String(64), comment="IP address it was made from"),
    Column("client", String(255), comment="the browser's own name, User-Agent"),
    Index("omni_ix_session_agent", "agent_id"),
    Index("omni_ix_session_revoked", "revoked_at"),
    Index("omni_ix_session_expiry", "expires_at"),
    comment="Sign-ins of the web inbox",
    **TABLE_OPTIONS,
)


second_factors = Table(
    "omni_second_factors",
    metadata,
    Column("agent_id", BIG, primary_key=True, autoincrement=False),
    Column(
        "secret", Text, nullable=False, comment="of the authenticator app, sealed with SECRET_KEY"
    ),
    Column(
        "last_step",
        BIG,
        nullable=False,
        comment="time step of the code used last: each counts once",
    ),
    Column("created_at", BIG, nullable=False, comment="microseconds"),
    comment="Agents who sign in with a code beside their password",
    **TABLE_OPTIONS,
)


recovery_codes = Table(
    "omni_recovery_codes",
    metadata,
    Column("agent_id", BIG, primary_key=True, autoincrement=False),
    Column(
        "code_hash",
        id_text(64),
        primary_key=True,
        comment="SHA-256; the code itself was shown once",
    ),
    Column("used_at", BIG, comment="microseconds"),
    comment="Codes that stand in for a phone that is gone, each once",
    **TABLE_OPTIONS,
)


sign_in_tickets = Table(
    "omni_sign_in_tickets",
    metadata,
    Column(
        "token_hash", id_text(64), primary_key=True, comment="SHA-256 of what the browser holds"
    ),
    Column("agent_id", BIG, nullable=False),
    Column("new_secret", Text, comment="sealed; set where the second factor is being set up"),
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("expires_at", BIG, nullable=False, comment="microseconds"),
    Index("omni_ix_ticket_expiry", "expires_at"),
    comment="Sign-ins between password and code",
    **TABLE_OPTIONS,
)


own_tokens = Table(
    "omni_own_tokens",
    metadata,
    Column("agent_id", BIG, primary_key=True, autoincrement=False),
    Column("integration_id", BIG, primary_key=True, autoincrement=False),
    Column("company_id", BIG, nullable=False),
    Column(
        "base_url",
        String(500),
        nullable=False,
        comment="the Chatwoot it was given for: it is sent to no other",
    ),
    Column("account_id", BIG, nullable=False, comment="Chatwoot account id"),
    Column("access_token", Text, nullable=False, comment="sealed with SECRET_KEY"),
    Column("user_id", BIG, nullable=False, comment="id of its owner in Chatwoot"),
    Column("name", String(255), nullable=False, comment="of its owner in Chatwoot"),
    Column("email", String(255), comment="of its owner in Chatwoot"),
    Column("connected_at", BIG, nullable=False, comment="microseconds"),
    Column("checked_at", BIG, nullable=False, comment="accepted at its last check, microseconds"),
    Column("refused_at", BIG, comment="since when Chatwoot refuses it, microseconds"),
    Column("refusal", Text, comment="why, as a problem"),
    Index("omni_ix_own_token_integration", "integration_id"),
    Index("omni_ix_own_token_company", "company_id"),
    comment="Agents' own access tokens of Chatwoot, by which they reply under their own names",
    **TABLE_OPTIONS,
)


company_policies = Table(
    "omni_company_policies",
    metadata,
    Column("company_id", BIG, primary_key=True, autoincrement=False),
    Column(
        "requires_second_factor",
        Boolean(create_constraint=False),
        nullable=False,
        server_default="0",
    ),
    Column("updated_at", BIG, nullable=False, comment="microseconds"),
    comment="What a company's administrators ask of its agents",
    **TABLE_OPTIONS,
)


invitations = Table(
    "omni_invitations",
    metadata,
    Column("token_hash", id_text(64), primary_key=True, comment="SHA-256 of the link's token"),
    Column("company_id", BIG, nullable=False),
    Column("email", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("role", String(16), nullable=False, comment="agent, admin"),
    Column("created_at", BIG, nullable=False, comment="microseconds"),
    Column("expires_at", BIG, nullable=False, comment="microseconds"),
    Column("accepted_at", BIG, comment="microseconds"),
    Column("invited_by", BIG, comment="agents.id of who made it; none: a command on the server"),
    Index("omni_ix_invitation_expiry", "expires_at"),
    Index("omni_ix_invitation_company", "company_id", "expires_at"),
    comment="Links by which somebody becomes an agent, or an agent sets a new password",
    **TABLE_OPTIONS,
)


setup_keys = Table(
    "omni_setup_keys",
    metadata,
    Column(
        "purpose",
        id_text(32),
        primary_key=True,
        comment="first administrator: there is one key at a time",
    ),
    Column(
        "token_hash",
        id_text(64),
        nullable=False,
        comment="SHA-256 of the key; the key itself is in the process that shows it",
    ),
    Column(
        "heard_at", BIG, nullable=False, comment="the process that shows it lives, microseconds"
    ),
    comment="The key by which the first administrator is made, while there is none",
    **TABLE_OPTIONS,
)


installation = Table(
    "omni_installation",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True, comment="always 1"),
    Column("name", id_text(32), nullable=False),
    Column(
        "secret",
        id_text(64),
        nullable=False,
        comment="signs what processes tell each other over the bus",
    ),
    Column("created_at", BIG, nullable=False, comment="microseconds"),
    comment="What makes the processes on this database one installation; a copy of the database "
    "should get another row",
    **TABLE_OPTIONS,
)


audit_log = Table(
    "omni_audit_log",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("company_id", BIG, nullable=False),
    Column("at", BIG, nullable=False, comment="microseconds"),
    Column(
        "agent_id",
        BIG,
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
    **TABLE_OPTIONS,
)
