"""Whose name a column has: three tables are the CRM's, and in them what this program adds begins
with `omni_`.
"""

PREFIX = "omni_"
# what other programs read and write; everything else in these tables is ours or the CRM's own
DOCUMENTED = {
    "social_conversations": (
        "id", "company_id", "platform", "external_user_id", "external_user_name", "status",
        "last_message_at", "created_at", "updated_at",
    ),
    "social_messages": ("id", "conversation_id", "sender_type", "content", "created_at"),
    "integrations": (
        "id", "company_id", "provider", "page_id", "access_token", "account_id", "base_url",
        "is_active", "is_webhook_active", "webhook_mode", "created_at", "updated_at",
    ),
}  # fmt: skip


def column(table: str, name: str) -> str:
    """The name in the database of a column that our code calls `name`."""
    if table not in DOCUMENTED or name in DOCUMENTED[table]:
        return name
    return PREFIX + name
