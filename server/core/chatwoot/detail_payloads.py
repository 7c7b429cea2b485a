"""What a message's JSON says besides its text and files -> MessageDetails. Webhooks and REST say
the same, but for `additional_attributes`, which REST does not have.
"""

from typing import Any

from server.core.chatwoot.payload_fields import Json, as_count, as_dict, as_text, as_web_address
from server.core.identifiers import parse_id
from server.core.state.message_details import (
    NO_DETAILS,
    Ad,
    Call,
    Card,
    CardAction,
    Email,
    FormField,
    Meeting,
    MessageDetails,
    Option,
    Quote,
    Rating,
    Story,
    Translation,
)

MAX_ITEMS = 30
LINE, PARAGRAPH, LONG = 255, 4_000, 100_000
_INCOMING = (0, "0", "incoming")
_OUTGOING = (1, "1", "outgoing")
_TEMPLATES = (3, "3", "template")
_SENDERS = {"agent_bot": "bot", "captain_assistant": "assistant"}


def parse_details(m: Json, content: str) -> MessageDetails | None:
    """Parse what `m` says besides `content`, its text; None where that is nothing. A deleted
    message has nothing but its sender.
    """
    a = as_dict(m.get("content_attributes"))
    sender_kind = _sender_kind(m, a)
    # most messages: a plain text without attributes, of which nothing else can be said
    is_plain = not a and m.get("content_type") in (None, "text")
    if is_plain or a.get("deleted") is True:
        return MessageDetails(sender_kind=sender_kind) if sender_kind else None
    details = MessageDetails(
        sender_kind=sender_kind,
        is_unsupported=a.get("is_unsupported") is True,
        quote=_quote(a),
        previous_content=as_text(a.get("previous_content"), LONG),
        ad=_ad(as_dict(a.get("referral"))),
        email=_email(a, content),
        given_email=as_text(a.get("submitted_email"), LINE),
        translations=_translations(as_dict(a.get("translations"))),
        story=_story(a),
        **_of_content_type(m.get("content_type"), a),
    )
    return None if details == NO_DETAILS else details


def _sender_kind(m: Json, a: Json) -> str | None:
    if m.get("message_type") in _INCOMING:
        return None
    if m.get("message_type") in _TEMPLATES:
        return "automatic"
    if a.get("automation_rule_id") is not None:
        return "automation"
    if a.get("external_echo") is True:
        return "channelApp"
    if as_dict(m.get("additional_attributes")).get("campaign_id") is not None:
        return "campaign"
    if is_unsigned_echo(m):
        return "channelApp"
    return _SENDERS.get(str(as_dict(m.get("sender")).get("type")))


def is_unsigned_echo(m: Json) -> bool:
    """Whether a message looks like one that was written in the channel's own app, of a channel
    that does not mark these (Telegram): it has no sender and, from its first webhook on, the
    channel's number.
    """
    a = as_dict(m.get("content_attributes"))
    return (
        m.get("message_type") in _OUTGOING
        and not as_dict(m.get("sender"))
        and as_text(m.get("source_id"), LINE) is not None
        and not any(a.get(key) is not None for key in ("automation_rule_id", "external_echo"))
        and as_dict(m.get("additional_attributes")).get("campaign_id") is None
    )


def _of_content_type(content_type: object, a: Json) -> dict[str, Any]:
    items, submitted = _objects(a.get("items")), a.get("submitted_values")
    data = as_dict(a.get("data"))
    if content_type == "input_select":
        return {"options": _options(items), "chosen": _options(_objects(submitted))}
    if content_type == "form":
        return {"form": _form(items, _objects(submitted))}
    if content_type in ("cards", "article"):
        return {"cards" if content_type == "cards" else "articles": tuple(map(_card, items))}
    if content_type == "input_csat":
        return {"rating": _rating(as_dict(as_dict(submitted).get("csat_survey_response")))}
    if content_type == "voice_call":
        call = Call(
            as_text(data.get("call_direction"), 32),
            as_text(data.get("status"), 32),
            as_count(data.get("duration")),
        )
        return {"call": call}
    if content_type == "integrations" and (provider := as_text(a.get("type"), 32)):
        return {"meeting": Meeting(provider)}
    return {}


def _objects(value: object) -> list[Json]:
    found = value[:MAX_ITEMS] if isinstance(value, list) else []
    return [one for one in found if isinstance(one, dict)]


def _texts(value: object) -> tuple[str, ...]:
    """Addresses are a list, or one text with commas."""
    found = value.split(",") if isinstance(value, str) else value
    if not isinstance(found, list):
        return ()
    texts = (as_text(one, LINE) for one in found[:MAX_ITEMS])
    return tuple(text.strip() for text in texts if text)


def _quote(a: Json) -> Quote | None:
    number = parse_id(a.get("in_reply_to"))
    return Quote(number) if number is not None else None


def _ad(referral: Json) -> Ad | None:
    ad = Ad(
        as_text(referral.get("headline"), LINE),
        as_text(referral.get("body"), PARAGRAPH),
        as_web_address(referral.get("source_url")),
    )
    return None if ad == Ad() else ad


def _email(a: Json, content: str) -> Email | None:
    mail = as_dict(a.get("email"))
    email = Email(
        subject=as_text(mail.get("subject"), PARAGRAPH),
        sender=next(iter(_texts(mail.get("from"))), None),
        to=_texts(mail.get("to")) or _texts(a.get("to_emails")),
        cc=_texts(mail.get("cc")) or _texts(a.get("cc_emails")) or _texts(a.get("cc_email")),
        bcc=_texts(mail.get("bcc")) or _texts(a.get("bcc_emails")) or _texts(a.get("bcc_email")),
        quoted=_quoted(as_dict(mail.get("text_content")), content)
        or _quoted(as_dict(mail.get("html_content")), content),
    )
    return None if email == Email() else email


def _quoted(text_content: Json, content: str) -> str | None:
    """Chatwoot's `quoted` is what is left of the text without what it quotes."""
    own = text_content.get("quoted")
    if not isinstance(own, str) or not own.strip() or not content.startswith(own.strip()):
        return None
    return as_text(content[len(own.strip()) :].strip(), LONG)


def _options(items: list[Json]) -> tuple[Option, ...]:
    pairs = [(as_text(one.get("title"), LINE), as_text(one.get("value"), LINE)) for one in items]
    return tuple(Option(title or value or "", value) for title, value in pairs if title or value)


def _form(items: list[Json], submitted: list[Json]) -> tuple[FormField, ...]:
    values = {as_text(one.get("name"), LINE): one.get("value") for one in submitted}
    fields = []
    for one in items or submitted:
        name = as_text(one.get("name"), LINE)
        label = as_text(one.get("label"), LINE) or name
        if label:
            value = as_text(values.get(name), PARAGRAPH)
            fields.append(FormField(label, name, as_text(one.get("type"), 32), value))
    return tuple(fields)


def _card(one: Json) -> Card:
    actions = []
    for action in _objects(one.get("actions")):
        if text := as_text(action.get("text"), LINE):
            actions.append(CardAction(text, as_web_address(action.get("uri"))))
    if url := as_web_address(one.get("link")):
        actions.append(CardAction(url[:LINE], url))
    return Card(
        as_text(one.get("title"), LINE) or "",
        as_text(one.get("description"), PARAGRAPH),
        as_web_address(one.get("media_url")),
        tuple(actions),
    )


def _rating(response: Json) -> Rating | None:
    value = as_count(response.get("rating"))
    rating = Rating(
        value if value is not None and 1 <= value <= 5 else None,
        as_text(response.get("feedback_message"), PARAGRAPH),
    )
    return None if rating == Rating() else rating


def _translations(value: Json) -> tuple[Translation, ...]:
    pairs = [(str(key)[:16], as_text(text, LONG)) for key, text in list(value.items())[:8]]
    return tuple(
        Translation(language, text)
        for language, text in sorted(pairs, key=lambda pair: pair[0])
        if text
    )


def _story(a: Json) -> Story | None:
    story = Story(as_web_address(a.get("story_url")), as_text(a.get("story_sender"), LINE))
    return None if story == Story() else story
