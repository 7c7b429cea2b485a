"""What channels make of a message: what the customer gets, and what they refuse.

Sources in Chatwoot: app/services/whatsapp/providers/whatsapp_cloud_service.rb
(`send_attachment_message`), app/services/tiktok/send_on_tiktok_service.rb,
app/services/whatsapp/send_on_whatsapp_service.rb (outside of the window it sends templates alone),
app/models/concerns/liquidable.rb; Meta's words for a message outside of the window:
developers.facebook.com/docs/messenger-platform/error-codes.
"""

import html
import re

from server.lab.chatwoot_sim.model import Conversation, JsonObject, Message, User

_BOLD = re.compile(r"\*\*(.+?)\*\*")
_META_OUTSIDE = (
    "10 - (#10) This message is sent outside of allowed window. Learn more about the new policy "
    "here: https://developers.facebook.com/docs/messenger-platform/policy-overview"
)
# what stands in a message that is sent outside of its channel's window
_OUTSIDE = {
    "Channel::Whatsapp": "Template not found or invalid template name",
    "Channel::FacebookPage": _META_OUTSIDE,
    "Channel::Instagram": _META_OUTSIDE,
}
_VARIABLE = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")


def rendered(text: str | None, conversation: Conversation, agent: User) -> str | None:
    """Fill in names as Liquid does; unknown ones become nothing."""
    contact = conversation.contact
    known = {
        "contact.name": contact.name,
        "contact.email": contact.email or "",
        "agent.name": agent.name,
        "inbox.name": conversation.inbox.name,
        "conversation.display_id": str(conversation.display_id),
    }
    return _VARIABLE.sub(lambda found: known.get(found[1], ""), text) if text else text


def passed_on(message: Message) -> tuple[str, list[str]]:
    """The text and the names of the files that the channel gives the customer. Raises ValueError
    with its refusal.
    """
    channel, text = message.conversation.inbox.channel, message.content or ""
    files = message.attachments
    is_template = bool(message.additional_attributes.get("template_params"))
    if channel in _OUTSIDE and not is_template and not message.conversation.can_reply:
        raise ValueError(_OUTSIDE[channel])
    if channel == "Channel::Tiktok" and files and (text or len(files) > 1):
        raise ValueError("Sending attachments with text is not supported on TikTok.")
    if channel == "Channel::Whatsapp" and files:
        files = files[:1]
        text = "" if files[0].file_type == "audio" else text
    return text, [file.name for file in files]


def refusal_of(message: Message) -> str:
    """The words with which the channel refuses it; empty where it takes it."""
    try:
        passed_on(message)
    except ValueError as refused:
        return str(refused)
    return ""


def mail_bodies(text: str | None, conversation: Conversation) -> JsonObject:
    """Both texts of a mail that an agent writes, of a message in an e-mail inbox."""
    if conversation.inbox.channel != "Channel::Email" or not text:
        return {}
    bold = _BOLD.sub(r"<strong>\1</strong>", html.escape(text, quote=False))
    written = "<p>" + bold.replace("\n", "<br />\n") + "</p>\n"
    return {
        "email": {
            "html_content": {"full": written, "reply": written},
            "text_content": {"full": text, "reply": text},
        }
    }


def copies(params: JsonObject, conversation: Conversation) -> JsonObject:
    """The people in copy, of a message in an e-mail inbox (message_builder.rb)."""
    if conversation.inbox.channel != "Channel::Email":
        return {}
    return {
        name: [one.strip() for one in str(params.get(name) or "").split(",") if one.strip()]
        for name in ("cc_emails", "bcc_emails", "to_emails")
    }
