"""What versions without the prefix wrote as comments: frozen, so that a later text in `tables.py`
forgets no older database.

Texts that one column had one after the other stand together; an empty tuple is a column without a
comment.
"""

COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "social_conversations": {
        "integration_id": ("with chatwoot_conversation_id: the key of a Chatwoot conversation",),
        "chatwoot_conversation_id": ("display id, unique per Chatwoot account",),
        "chatwoot_status": ("open, resolved, pending, snoozed",),
        "chatwoot_version": ("updated_at of the newest state applied, microseconds",),
        "channel": (),
        "contact": ("JSON: id, email, phone, identifier",),
        "assignee": ("JSON: id, name",),
        "labels": ("JSON: list of text",),
        "priority": (),
        "waiting_since": ("microseconds",),
        "can_reply": (),
        "contact_seen_at": ("when the customer looked at it last, as Chatwoot says, microseconds",),
        "preview": ("JSON: content, senderType, hasAttachments of the newest public message",),
        "inbound_count": ("messages the customer ever sent here",),
        "last_inbound_at": (
            "when the customer wrote last, microseconds: reply windows begin there",
        ),
        "read_count": ("of inbound_count: how many are read for everyone",),
        "read_to": ("what came until then is read for everyone, microseconds",),
        "gone_at": ("when Chatwoot said that it no longer has it, microseconds",),
        "last_message_number": (
            "chatwoot_message_id of the message in preview: which of one second is the newest",
        ),
        "seq": ("event that changed this row last",),
        "verified_at": ("when all of its messages in Chatwoot were last compared, microseconds",),
    },
    "social_messages": {
        "chatwoot_message_id": ("unique in a Chatwoot installation",),
        "chatwoot_version": ("the conversation's updated_at then, microseconds",),
        "told_at": ("when this state was told to us, microseconds of our clock",),
        "client_id": ("Idempotency-Key of a reply written here; Chatwoot carries it as a marker",),
        "agent_id": ("agents.id of a reply written here",),
        "sender_name": (),
        "content_type": (),
        "attachments": ("JSON: list",),
        "is_private": (),
        "is_deleted": (),
        "edited_at": ("when we were told another text than before, microseconds",),
        "delivery_state": (
            "outbox: sending, sent, failed; as Chatwoot tells: delivered, read",
            "outbox: sending, sent, failed",
        ),
        "delivery_error": ("JSON: code, message",),
        "delivery_attempts": (),
        "next_attempt_at": ("outbox: when the sender takes it next, microseconds",),
        "is_outcome_unknown": ("an attempt may have reached Chatwoot",),
        "chatwoot_answered_at": (
            (
                "outbox: when Chatwoot first answered after an attempt of unknown outcome, "
                "microseconds"
            ),
        ),
        "seq": ("event that changed this row last",),
    },
    "integrations": {
        "webhook_secret": (),
        "previous_webhook_secret": ("accepted beside the new one while a rotation is under way",),
        "previous_secret_until": (
            "what was received later is not accepted with the previous secret, microseconds",
        ),
        "is_socket_active": ("hears /cable, too",),
        "unsigned_webhooks": ("refused, keyed, accepted",),
        "webhook_key": ("stands in the webhook's address where unsigned ones are `keyed`",),
        "proved_at": (
            (
                "when Chatwoot showed the inbox to the access token, microseconds; 1: older than "
                "proofs"
            ),
        ),
        "webhook_seen_at": ("last accepted delivery, microseconds",),
        "reconciled_at": ("up to here reconcile has looked, microseconds",),
        "walked_at": ("when the last round of reconcile began, in whatever process, microseconds",),
        "repaired_at": (
            "when the newest of what reconcile repaired had happened, microseconds",
            "up to when that had happened which reconcile repaired last, microseconds",
        ),
        "walk_problem": ("why the last round could not ask Chatwoot",),
        "lease_until": ("a process walks this integration until then, microseconds",),
        "sync_page": (
            "not used any more",
            "page an interrupted sync goes on from; 0: none under way",
        ),
        "sync_began_at": ("when the sync began that has not come to its end, microseconds",),
        "history_began_at": (
            "when the comparison of its history began that is under way, microseconds",
        ),
        "history_until": ("a process compares its history until then, microseconds",),
        "verified_at": ("when all of its history was last found to be here, microseconds",),
        "repaired_count": ("changes whose webhook was lost", "changes found that no webhook told"),
        "chatwoot_problem": ("what Chatwoot lacks or refuses, as it was seen last",),
        "watched_at": ("when that was looked at last, in whatever process, microseconds",),
        "inbox_name": ("as Chatwoot had it last",),
        "deleted_at": (
            "when an administrator deleted it; the row stays for its conversations, microseconds",
        ),
    },
}
TABLES = {
    "agent_sessions": "Sign-ins of the web inbox",
    "agents": "People who read and answer; those of the CRM are listed when first seen",
    "audit_log": "Administrative acts, and attempts at what is not theirs",
    "canned_replies": "Texts a company answers with again and again",
    "chatwoot_sockets": (
        "Which process listens to the agents' socket of a company's Chatwoot account, and how "
        "that goes"
    ),
    "company_policies": "What a company's administrators ask of its agents",
    "conversation_reads": "How far each agent has read",
    "event_reach": (
        "When runs of events were written to the agents of one process: a row for each walk, not "
        "for each socket"
    ),
    "found_by_asking": "What asking Chatwoot found before any webhook told of it",
    "inbox_events": "The event log: ordered and immutable",
    "inbox_streams": (
        "One row a company; locked by every transaction that changes the company's state"
    ),
    "installation": (
        "What makes the processes on this database one installation; a copy of the database "
        "should get another row"
    ),
    "invitations": "Links by which somebody becomes an agent, or an agent sets a new password",
    "outgoing_files": "Files of replies written here",
    "outgoing_pieces": "The content of such files, until Chatwoot has it",
    "recovery_codes": "Codes that stand in for a phone that is gone, each once",
    "second_factors": "Agents who sign in with a code beside their password",
    "setup_keys": "The key by which the first administrator is made, while there is none",
    "sign_in_tickets": "Sign-ins between password and code",
    "sync_leases": "Which walk through an integration's Chatwoot is the only one of all processes",
    "sync_runs": (
        "The last sync of each integration that was asked for on its page: how far it came"
    ),
    "webhook_deliveries": "The journal: every webhook delivery as it came",
}
