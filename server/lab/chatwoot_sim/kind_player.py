"""Plays the kinds of the catalogue through the simulator's ordinary writes, so that webhooks, REST
and the agents' socket follow by themselves.
"""

import uuid
from collections.abc import Sequence
from typing import Any, assert_never

from server.lab.chatwoot_sim import samples
from server.lab.chatwoot_sim.api_messages import build_messages
from server.lab.chatwoot_sim.kind_catalogue import (
    KINDS,
    AttachmentSpec,
    Change,
    Delete,
    Fail,
    Kind,
    KindContact,
    KindInbox,
    Reply,
    SetContact,
    SetStatus,
    Step,
    Write,
)
from server.lab.chatwoot_sim.model import (
    INCOMING,
    MESSAGE_TYPE_NAMES,
    Contact,
    Conversation,
    Inbox,
    Message,
    User,
)
from server.lab.chatwoot_sim.samples import Pointer, Upload
from server.lab.chatwoot_sim.state import ChatwootSim
from server.lab.chatwoot_sim.webhook_bodies import iso_ms

PROVIDER_PATH = "/sim/provider"
_TYPE_BY_WRITER = {"customer": "incoming", "agent": "outgoing", "bot": "outgoing"}


def play_kind(
    sim: ChatwootSim, kind_id: str, conversation: Conversation | None = None
) -> Message | None:
    """Write a kind of message, `02-wa-location` for example, in the conversation or (without one)
    in one of the kind's own customer. Gives the last message it wrote; None for a kind of state.
    Raises KeyError for a kind that is not in the catalogue.
    """
    _, kind = KINDS[kind_id]
    player = _Player(sim, conversation or conversation_for(sim, kind_id))
    if kind.is_built_late:
        with sim.at_once():
            player.play(kind.steps)
    else:
        player.play(kind.steps)
    return player.written


def conversation_for(sim: ChatwootSim, kind_id: str) -> Conversation:
    """A conversation of the kind's own customer, with what the kind needs to be there before."""
    inbox, kind = KINDS[kind_id]
    found = _conversation(sim, inbox, kind)
    if not found.messages:
        _Player(sim, found).play(kind.before or inbox.before)
    return found


def inbox_of(sim: ChatwootSim, inbox: KindInbox) -> Inbox:
    """The inbox of that channel and name in the simulator's first account, made at first use."""
    for found in sim.inboxes.values():
        is_same = (found.name, found.channel) == (inbox.name, inbox.channel)
        if is_same and found.account is sim.account:
            return found
    made = sim.add_inbox(inbox.name, account=sim.account, channel=inbox.channel)
    made.email = inbox.email
    return made


def _conversation(sim: ChatwootSim, inbox: KindInbox, kind: Kind) -> Conversation:
    """Where the kind's customer writes: their conversation in its inbox, or a new one where there
    is none or the kind is about a new one.
    """
    place = inbox_of(sim, inbox)
    contact = _contact(sim, kind.contact or inbox.contact, place)
    found = sim.current_conversation(contact, place)
    if found is not None and kind.conversation is None:
        return found
    attributes = inbox.conversation if kind.conversation is None else kind.conversation
    begun = sim.start_conversation(contact, place, _Values(sim, None).filled(attributes))
    if kind.conversation is None:
        begun.custom_attributes = dict(inbox.custom_attributes)
    return begun


def _contact(sim: ChatwootSim, wanted: KindContact, place: Inbox) -> Contact:
    contact = sim.find_contact(wanted.name, place.account)
    if contact is None:
        contact = sim.add_contact(
            wanted.name,
            account=place.account,
            email=wanted.email,
            phone_number=wanted.phone_number,
            identifier=wanted.identifier,
            company_id=wanted.company_id,
            additional_attributes=dict(wanted.additional_attributes),
            custom_attributes=dict(wanted.custom_attributes),
        )
    sim.contact_inbox(contact, place, wanted.source_id)
    return contact


class _Values:
    """Fills in what a file cannot know: `{quoted.id}` (a number), `{quoted.source_id}`, `{now}`,
    `{uuid}`, and `{provider}` within a text.
    """

    def __init__(self, sim: ChatwootSim, quoted: Message | None) -> None:
        self._sim = sim
        self._quoted = quoted

    def filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.filled(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(inner) for inner in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, value: str) -> Any:
        match value:
            case "{quoted.id}":
                return self._quoted.id if self._quoted else None
            case "{quoted.source_id}":
                return self._quoted.source_id if self._quoted else None
            case "{now}":
                return iso_ms(self._sim.now())
            case "{uuid}":
                return str(uuid.UUID(int=self._sim.rng.getrandbits(128), version=4))
        return value.replace("{provider}", self._sim.base_url + PROVIDER_PATH)


class _Player:
    """Plays steps in one conversation; `written` is the message they are about."""

    def __init__(self, sim: ChatwootSim, conversation: Conversation) -> None:
        self._sim = sim
        self._conversation = conversation
        self.written: Message | None = None
        said = (m for m in reversed(conversation.messages) if m.message_type == INCOMING)
        self._values = _Values(sim, next(said, None))

    def play(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self._play(step)

    def _play(self, step: Step) -> None:
        match step:
            case Write():
                self.written = self._write(step)
            case Reply():
                self.written = self._reply(step)
            case SetStatus():
                until = None if step.hours is None else self._sim.now() + step.hours * 3600
                self._sim.set_status(
                    self._conversation, step.status, by=self._sim.admin, snoozed_until=until
                )
            case SetContact():
                contact = self._conversation.contact
                self._sim.update_contact(
                    contact,
                    email=step.email,
                    company_id=step.company_id,
                    additional_attributes=contact.additional_attributes
                    | step.additional_attributes,
                )
            case Change() | Fail() | Delete():
                if self.written is None:
                    raise ValueError(f"no message was written before {step}")
                self._change(self.written, step)
            case _:
                assert_never(step)

    def _write(self, step: Write) -> Message:
        sim, source_id = self._sim, step.source_id
        at = sim.now() - step.hours_ago * 3600
        columns = {
            "content_type": step.content_type,
            "content_attributes": self._values.filled(step.content_attributes),
            "additional_attributes": dict(step.additional_attributes),
            "private": step.private,
            "status": step.status,
            # providers number their messages: two are never the same
            "source_id": f"{source_id}{len(sim.messages) + 1}" if source_id else None,
            "created_at": round(at, 6),
        }
        kind = step.message_type or _TYPE_BY_WRITER.get(step.by, "outgoing")
        return sim.create_message(
            self._conversation,
            MESSAGE_TYPE_NAMES.index(kind),
            self._values.filled(step.content),
            self._sender(step),
            [self._attachment(one) for one in step.attachments],
            **columns,
        )

    def _reply(self, step: Reply) -> Message:
        params = {
            "content": step.content,
            "content_attributes": self._values.filled(step.content_attributes),
        }
        uploads = [samples.file_named(name) for name in step.attachments]
        return build_messages(
            self._sim, self._conversation, self._sim.admin, params, uploads, status=step.status
        )[0]

    def _change(self, message: Message, step: Change | Fail | Delete) -> None:
        match step:
            case Fail():
                self._sim.mark_failed(message, step.reason)
            case Delete():
                self._sim.delete_message(message, keeps=step.keeps)
            case Change(transcript=str(words)):
                self._sim.transcribe(message, words)
            case Change():
                values: dict[str, Any] = {}
                if step.content_attributes:
                    added = self._values.filled(step.content_attributes)
                    values["content_attributes"] = message.content_attributes | added
                if step.content is not None:
                    values["content"] = step.content
                if step.status is not None:
                    values["status"] = step.status
                self._sim.update_message(message, **values)

    def _sender(self, step: Write) -> Contact | User | None:
        if step.member is not None:
            return _contact(self._sim, step.member, self._conversation.inbox)
        match step.by:
            case "nobody":
                return None
            case "customer":
                return self._conversation.contact
            case "agent":
                return self._sim.admin
            case "bot":
                return _bot(self._sim)

    def _attachment(self, spec: AttachmentSpec | str) -> Upload | Pointer:
        if isinstance(spec, str):
            return samples.file_named(spec)
        url = self._values.filled(spec.url)
        if spec.name:
            return samples.file_named(spec.name, kind=spec.kind, url=url)
        return Pointer(
            spec.file_type,
            fallback_title=spec.fallback_title,
            external_url=url,
            coordinates=spec.coordinates,
            meta=dict(spec.meta),
        )


def _bot(sim: ChatwootSim) -> User:
    for user in sim.tokens.values():
        if user.kind == "agent_bot":
            return user
    return sim.add_user("Shop bot", account=sim.account, bot=True)
