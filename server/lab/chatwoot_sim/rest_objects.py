"""Objects of the REST API: the same records as in the webhooks, in other shapes.

Sources in Chatwoot: app/views/api/v1/conversations/partials/_conversation.json.jbuilder,
models/_message.json.jbuilder, models/_agent.json.jbuilder, models/_webhook.json.jbuilder,
app/views/api/v1/profiles/show.json.jbuilder.
"""

from server.lab.chatwoot_sim.attachment_objects import files_of
from server.lab.chatwoot_sim.model import (
    ACTIVITY,
    API_CHANNEL,
    Account,
    Contact,
    Conversation,
    Inbox,
    JsonObject,
    Message,
    User,
    Webhook,
)
from server.lab.chatwoot_sim.sim_cable import pubsub_token
from server.lab.chatwoot_sim.webhook_bodies import (
    iso_ms,
    message_push,
    sender_push,
    unix,
)

_NO_GROUP: JsonObject = {
    "group": False,
    "group_source_id": None,
    "group_title": None,
    "group_description": None,
    "group_invite_link": None,
    "group_join_approval_mode": None,
    "group_suspended": False,
    "group_created_at_external": None,
    "group_contacts_synced_at": None,
    "group_session_admin": False,
    "group_contacts_count": 0,
}


def contact_object(contact: Contact) -> JsonObject:
    """A contact as the REST API shows it."""
    return {
        "additional_attributes": contact.additional_attributes,
        "availability_status": "offline",
        "email": contact.email,
        "bsuid": None,
        "whatsapp_username": None,
        "id": contact.id,
        "name": contact.name,
        "phone_number": contact.phone_number,
        "blocked": contact.blocked,
        "identifier": contact.identifier,
        "company_id": contact.company_id,
        "thumbnail": "",
        "custom_attributes": contact.custom_attributes,
        "last_activity_at": unix(contact.last_activity_at),
        "created_at": unix(contact.created_at),
    }


def agent_object(user: User, account: Account) -> JsonObject:
    """An agent as the list of agents shows them, with their role in the account."""
    return {
        "id": user.id,
        "account_id": account.id,
        "availability_status": "online",
        "auto_offline": True,
        "confirmed": True,
        "email": user.email,
        "provider": "email",
        "available_name": user.available_name,
        "name": user.name,
        "role": user.roles.get(account.id),
        "thumbnail": "",
        "custom_role_id": None,
    }


def assignee_object(user: User, account: Account) -> JsonObject:
    """An agent or, of a bot, what a list shows of it."""
    return (
        agent_object(user, account)
        if user.kind == "user"
        else {"id": user.id, "name": user.name, "thumbnail": ""}
    )


def conversation_object(conversation: Conversation, base_url: str) -> JsonObject:
    """A list item: no `contact_inbox`, no `account`; times are ints, but `updated_at` is a
    float.
    """
    last = conversation.messages[-1] if conversation.messages else None
    shown = next((m for m in reversed(conversation.messages) if m.message_type != ACTIVITY), None)
    return {
        "meta": _conversation_meta(conversation),
        "id": conversation.display_id,
        **_NO_GROUP,
        "messages": [message_push(last, base_url)] if last else [],
        "account_id": conversation.account.id,
        "uuid": conversation.uuid,
        "additional_attributes": conversation.additional_attributes,
        "agent_last_seen_at": unix(conversation.agent_last_seen_at),
        "assignee_last_seen_at": unix(conversation.assignee_last_seen_at),
        "can_reply": conversation.can_reply,
        "contact_last_seen_at": unix(conversation.contact_last_seen_at),
        "custom_attributes": conversation.custom_attributes,
        "inbox_id": conversation.inbox.id,
        "labels": list(conversation.labels),
        "muted": conversation.muted,
        "snoozed_until": iso_ms(conversation.snoozed_until),
        "status": conversation.status,
        "created_at": unix(conversation.created_at),
        "updated_at": conversation.updated_at,
        "timestamp": unix(conversation.last_activity_at),
        "first_reply_created_at": unix(conversation.first_reply_created_at),
        "unread_count": conversation.unread_count,
        "last_non_activity_message": message_push(shown, base_url) if shown else None,
        "last_activity_at": unix(conversation.last_activity_at),
        "priority": conversation.priority,
        "waiting_since": unix(conversation.waiting_since),
        "sla_policy_id": None,
        "sla_events": [],
    }


def _conversation_meta(conversation: Conversation) -> JsonObject:
    meta: JsonObject = {
        "sender": contact_object(conversation.contact),
        "channel": conversation.inbox.channel,
        "hmac_verified": False,
    }
    if conversation.assignee:
        meta["assignee"] = assignee_object(conversation.assignee, conversation.account)
        meta["assignee_type"] = "User" if conversation.assignee.kind == "user" else "AgentBot"
    if conversation.team:
        meta["team"] = conversation.team
    return meta


def message_object(message: Message, base_url: str) -> JsonObject:
    """A list item: int `message_type` and `created_at`; no `account_id`, no `updated_at`."""
    data: JsonObject = {
        "id": message.id,
        "content": message.content,
        "inbox_id": message.conversation.inbox.id,
        "conversation_id": message.conversation.display_id,
        "message_type": message.message_type,
        "content_type": message.content_type,
        "status": message.status,
        "content_attributes": message.content_attributes,
        "created_at": unix(message.created_at),
        "private": message.private,
        "source_id": message.source_id,
    }
    if message.sender is not None:
        data["sender"] = sender_push(message.sender, "online")
    if message.attachments:
        data["attachments"] = files_of(message.attachments, base_url)
    return data


def messages_meta(conversation: Conversation) -> JsonObject:
    """The `meta` of a list of messages: labels, contact, assignee and when each side read last."""
    meta: JsonObject = {
        "labels": list(conversation.labels),
        "additional_attributes": conversation.additional_attributes,
        "contact": contact_object(conversation.contact),
        "agent_last_seen_at": iso_ms(conversation.agent_last_seen_at),
        "assignee_last_seen_at": iso_ms(conversation.assignee_last_seen_at),
    }
    if conversation.assignee:
        meta["assignee"] = assignee_object(conversation.assignee, conversation.account)
    return meta


def inbox_object(inbox: Inbox, *, with_secrets: bool) -> JsonObject:
    """Administrators see the channel's secrets in it."""
    data: JsonObject = {
        "id": inbox.id,
        "avatar_url": "",
        "channel_id": inbox.id,
        "name": inbox.name,
        "channel_type": inbox.channel,
        "greeting_enabled": False,
        "working_hours_enabled": False,
        "enable_auto_assignment": False,
        "lock_to_single_conversation": inbox.lock_to_single_conversation,
        "timezone": "Asia/Dhaka",
    }
    if inbox.email:
        data |= {"email": inbox.email, "forward_to_email": inbox.forward_to_email}
    if inbox.channel == API_CHANNEL:
        data["webhook_url"] = inbox.webhook_url
        if with_secrets:
            data["secret"] = inbox.secret
    return data


def webhook_object(webhook: Webhook) -> JsonObject:
    """A webhook as the REST API shows it, secret included."""
    data: JsonObject = {
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "account_id": webhook.account.id,
        "subscriptions": list(webhook.subscriptions),
        "secret": webhook.secret,
    }
    if webhook.inbox:
        data["inbox"] = {"id": webhook.inbox.id, "name": webhook.inbox.name}
    return data


def profile_object(user: User, accounts: dict[int, Account]) -> JsonObject:
    """The token's owner, with the secrets Chatwoot shows it."""
    memberships = [
        {
            "id": account_id,
            "name": accounts[account_id].name,
            "status": accounts[account_id].status,
            "active_at": None,
            "role": role,
            "permissions": [role],
            "availability": "online",
            "availability_status": "online",
            "auto_offline": True,
        }
        for account_id, role in user.roles.items()
    ]
    first_id, first_role = next(iter(user.roles.items()))
    return {
        "access_token": user.access_token,
        "account_id": first_id,
        "available_name": user.available_name,
        "avatar_url": "",
        "confirmed": True,
        "display_name": user.available_name,
        "email": user.email,
        "id": user.id,
        "name": user.name,
        "provider": "email",
        "pubsub_token": pubsub_token(user),
        "role": first_role,
        "type": None,
        "ui_settings": {},
        "uid": user.email,
        "accounts": memberships,
    }
