"""Each kind of message that a running Chatwoot made, made by the simulator: its webhooks, its REST
object and its frames on the agents' socket have the recorded keys and types.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from server.lab.chatwoot_sim import ChatwootSim, serving
from server.lab.chatwoot_sim.kind_catalogue import INBOXES, KINDS
from server.lab.chatwoot_sim.kind_player import conversation_for, play_kind
from server.lab.chatwoot_sim.samples import file_named
from tests.kit.dashboard import Dashboard, dashboard
from tests.kit.eventually import eventually
from tests.kit.recorded import read_lines

pytestmark = pytest.mark.anyio
Json = dict[str, Any]

RECORDED: dict[str, Json] = {one["kind"]: one for one in read_lines("kinds")}
STATES = ("167-snoozed", "168-pending")
OF_MESSAGES = [kind for kind in RECORDED if kind not in STATES]

# a difference and why it is none; the pattern is searched in `path: recorded -> simulated`
ALLOWED = (
    # whether somebody had answered, or had it, is of the moment of the recording
    r"\.first_reply_created_at: (null|string) -> (null|string)$",
    r"\.meta\.assignee(_type)?: (null|object|string) -> (null|object|string)$",
    r"\.conversation\.labels: \d -> \d of them$",
    # Chatwoot looks for a contact's picture when it has time, and writes down that it did
    r"\.additional_attributes\.(avatar_url_hash|last_avatar_sync_at): (string|absent) -> ",
    # a picture is measured later, without an event: some recorded bodies were built after it
    r"\.attachments\[\d\]\.(width|height): (null|integer) -> (null|integer)$",
    # a person is known to be away or online only where a request of theirs is answered
    r"\.sender\.availability_status: (null|string) -> (null|string)$",
)


def kind_of(value: object) -> str:
    """The JSON type of a value; whole and other numbers are two."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return names.get(type(value)) or ("list" if isinstance(value, list) else "object")


def differences(recorded: object, made: object, path: str = "") -> list[str]:
    """`path: recorded type -> simulated type`, at every depth, where they differ."""
    if isinstance(recorded, dict) and isinstance(made, dict):
        found = []
        for name in recorded | made:
            if name not in recorded or name not in made:
                sides = [
                    kind_of(one[name]) if name in one else "absent" for one in (recorded, made)
                ]
                found.append(f"{path}.{name}: {sides[0]} -> {sides[1]}")
            else:
                found += differences(recorded[name], made[name], f"{path}.{name}")
        return found
    if isinstance(recorded, list) and isinstance(made, list):
        if len(recorded) != len(made):
            return [f"{path}: {len(recorded)} -> {len(made)} of them"]
        pairs = zip(_by_id(recorded), _by_id(made), strict=True)
        return [one for n, (a, b) in enumerate(pairs) for one in differences(a, b, f"{path}[{n}]")]
    types = kind_of(recorded), kind_of(made)
    return [] if types[0] == types[1] else [f"{path}: {types[0]} -> {types[1]}"]


def _by_id(values: list[Any]) -> list[Any]:
    """Attachments have no order in a webhook."""
    has_ids = all(isinstance(one, dict) and "id" in one for one in values)
    return sorted(values, key=lambda one: one["id"]) if has_ids else values


def unexplained(found: list[str]) -> list[str]:
    """The differences that are not in `ALLOWED`."""
    return [one for one in found if not any(re.search(pattern, one) for pattern in ALLOWED)]


def test_a_difference_is_found_at_every_depth() -> None:
    """A key too few, one too many, another type, another number of parts."""
    recorded = {"id": 1, "meta": {"at": 1.5, "name": None}, "items": [{"title": "a"}]}
    made = {"id": True, "meta": {"at": 1, "name": ""}, "items": [{"title": "b", "more": 1}], "x": 1}
    assert differences(recorded, made) == [
        ".id: integer -> boolean",
        ".meta.at: number -> integer",
        ".meta.name: null -> string",
        ".items[0].more: absent -> integer",
        ".x: absent -> integer",
    ]
    assert differences({"items": [1]}, {"items": []}) == [".items: 1 -> 0 of them"]


@dataclass
class Played:
    """What followed from one kind, by each of the three roads."""

    hooks: list[Json] = field(default_factory=list)
    rest: list[Json] = field(default_factory=list)
    frames: list[Json] = field(default_factory=list)


@pytest.fixture(scope="module")
async def played() -> dict[str, Played]:
    """Every kind, played one after the other on one simulated Chatwoot."""
    sim = ChatwootSim()
    sim.add_webhook("http://127.0.0.1:9/")
    headers = {"api_access_token": sim.admin.access_token}
    found: dict[str, Played] = {}
    async with (
        serving(sim) as url,
        dashboard(sim) as client,
        httpx.AsyncClient(base_url=url, headers=headers) as http,
    ):
        await client.subscribe(sim.admin, sim.account.id)
        await eventually(lambda: "presence.update" in client.events(), limit=30)
        for kind in KINDS:
            found[kind] = await _play(sim, kind, client, http)
    return found


async def _play(sim: ChatwootSim, kind: str, client: Dashboard, http: httpx.AsyncClient) -> Played:
    # what its conversation begins with is a part of the kinds of a state
    sim.webhooks.log.clear()
    conversation = conversation_for(sim, kind)
    if kind in OF_MESSAGES:
        sim.webhooks.log.clear()
    known = set(sim.messages)
    play_kind(sim, kind, conversation)
    hooks = [json.loads(delivery.build()) for delivery in sim.webhooks.log]
    ids = [number for number in sim.messages if number not in known]
    path = f"/api/v1/accounts/{sim.account.id}/conversations/{conversation.display_id}/messages"
    rest = []
    for number in ids:
        answer = await http.get(path, params={"after": number, "before": number + 1})
        rest += answer.json()["payload"]
    sent = [hook for hook in _in_order(hooks, "message") if hook["id"] in ids]
    await eventually(lambda: len(_frames(client, ids)) >= len(sent), limit=30)
    return Played(hooks, rest, _frames(client, ids))


def _frames(client: Dashboard, ids: list[int]) -> list[Json]:
    return [
        one
        for one in client.messages
        if one["event"].startswith("message.") and one["data"]["id"] in ids
    ]


def _in_order(hooks: list[Json], prefix: str) -> list[Json]:
    """Without those of other subjects. A job that is late lets a later event pass, in a recording:
    what a message became stands after the message itself.
    """
    kept = [hook for hook in hooks if hook["event"].startswith(prefix)]
    if prefix != "message":
        return kept
    return sorted(kept, key=lambda hook: (hook["id"], hook["event"] == "message_updated"))


def _pushed(template: Json, hook: Json, rest: Json) -> Json:
    """The nested object of a message, or its frame: all columns, as one was recorded, with those of
    this kind.
    """
    names = ("content", "content_type", "content_attributes", "additional_attributes", "private")
    shown = template | {name: hook[name] for name in (*names, "source_id")}
    sender = rest.get("sender")
    shown |= {"processed_message_content": hook["content"]}
    shown |= {"sender_type": sender and "", "sender_id": sender and 1}
    shown.pop("sender", None)
    if sender:
        shown["sender"] = _at_that_time(sender, hook)
    if "attachments" in hook:
        shown["attachments"] = hook["attachments"]
    return shown


def _at_that_time(sender: Json, hook: Json) -> Json:
    """A sender as REST shows them, where a contact has changed since."""
    if sender.get("type") != "contact":
        return sender
    then = {name: hook["sender"][name] for name in sender if name in hook["sender"]}
    customer = hook["conversation"]["meta"]["sender"]
    if customer["id"] == sender["id"]:
        then["company_id"] = customer["company_id"]
    return sender | then


@pytest.fixture(scope="module")
def template() -> Json:
    """The recorded frame of a message."""
    frames = (one["frame"].get("message") for one in read_lines("socket/frames"))
    return next(one["data"] for one in frames if one and one.get("event") == "message.created")


def test_a_sticker_is_large_enough_to_be_seen() -> None:
    """Its size stands behind the five-byte head of the picture's stream (WebP, lossless)."""
    content = file_named("sticker.webp").content
    assert content[12:16] == b"VP8L"
    bits = int.from_bytes(content[21:25], "little")
    assert (bits & 0x3FFF) + 1 >= 64
    assert (bits >> 14 & 0x3FFF) + 1 >= 64


def test_every_recorded_kind_is_in_the_catalogue() -> None:
    assert set(KINDS) == set(RECORDED)
    assert len(RECORDED) == 130
    assert sum(len(inbox.kinds) for inbox in INBOXES) == 130, "an id is there twice"


@pytest.mark.parametrize("kind", OF_MESSAGES)
async def test_webhooks_are_as_recorded(played: dict[str, Played], kind: str) -> None:
    """Each body, at every depth; `conversation.messages` has a test of its own."""
    recorded = _in_order(RECORDED[kind]["webhooks"], "message")
    made = _in_order(played[kind].hooks, "message")
    assert [hook["event"] for hook in made] == [hook["event"] for hook in recorded]
    for mine, real in zip(made, recorded, strict=True):
        assert (mine["message_type"], mine["content_type"], mine["status"], mine["private"]) == (
            real["message_type"],
            real["content_type"],
            real["status"],
            real["private"],
        )
        one, other = (
            hook | {"conversation": _without(hook["conversation"], "messages")}
            for hook in (real, mine)
        )
        assert unexplained(differences(one, other)) == []


@pytest.mark.parametrize("kind", [kind for kind in OF_MESSAGES if RECORDED[kind]["rest"]])
async def test_rest_is_as_recorded(played: dict[str, Played], kind: str) -> None:
    """All messages that the kind wrote, lines of activity too."""
    recorded, made = RECORDED[kind]["rest"], played[kind].rest
    for mine, real in zip(made, recorded, strict=True):
        assert (mine["message_type"], mine["status"]) == (real["message_type"], real["status"])
        assert unexplained(differences(real, mine)) == []


@pytest.mark.parametrize("kind", OF_MESSAGES)
async def test_frames_are_as_recorded(played: dict[str, Played], template: Json, kind: str) -> None:
    """The socket's payload is all columns of the message, and what changed of it."""
    recorded = _in_order(RECORDED[kind]["webhooks"], "message")
    rest = {one["id"]: one for one in RECORDED[kind]["rest"] or RECORDED["25-wa-group"]["rest"]}
    # the webhook of a survey has the customer's text, the frame that of the agent: both are text
    frames = [one for one in played[kind].frames if one["data"]["message_type"] != 2]
    assert [one["event"] for one in frames] == [
        hook["event"].replace("_", ".") for hook in recorded
    ]
    for frame, hook in zip(frames, recorded, strict=True):
        data = dict(frame["data"])
        changes = data.pop("previous_changes", None)
        shown = next(iter(rest.values())) if len(rest) == 1 else rest[hook["id"]]
        assert unexplained(differences(_pushed(template, hook, shown), data)) == []
        assert (changes is None) == (frame["event"] == "message.created")
        assert set(changes or ()) <= set(data)


@pytest.mark.parametrize("kind", OF_MESSAGES)
async def test_the_message_inside_its_conversation_is_as_recorded(
    played: dict[str, Played], template: Json, kind: str
) -> None:
    """`conversation.messages` has the last public message, as the socket shows it."""
    recorded = _in_order(RECORDED[kind]["webhooks"], "message")
    rest = {one["id"]: one for one in RECORDED[kind]["rest"] or RECORDED["25-wa-group"]["rest"]}
    for mine, hook in zip(_in_order(played[kind].hooks, "message"), recorded, strict=True):
        (inner,) = mine["conversation"]["messages"]
        if inner["id"] == mine["id"]:
            shown = next(iter(rest.values())) if len(rest) == 1 else rest[hook["id"]]
            assert unexplained(differences(_pushed(template, hook, shown), inner)) == []
        else:
            assert mine["private"]
            assert set(inner) == set(template)


@pytest.mark.parametrize("kind", STATES)
async def test_a_conversations_state_is_as_recorded(played: dict[str, Played], kind: str) -> None:
    """The events of a conversation that is snoozed, or waits for a bot."""
    recorded = _in_order(RECORDED[kind]["webhooks"], "conversation")
    made = _in_order(played[kind].hooks, "conversation")[-len(recorded) :]
    pairs = [sorted(hooks, key=lambda hook: str(hook["event"])) for hooks in (recorded, made)]
    for real, mine in zip(*pairs, strict=True):
        assert mine["event"] == real["event"]
        assert _changed(mine) == _changed(real)
        one, other = (_without(hook, "messages", "changed_attributes") for hook in (real, mine))
        assert unexplained(differences(one, other)) == []


def _changed(hook: Json) -> set[str]:
    return {name for one in hook.get("changed_attributes") or () for name in one}


def _without(value: Json, *names: str) -> Json:
    return {name: inner for name, inner in value.items() if name not in names}
