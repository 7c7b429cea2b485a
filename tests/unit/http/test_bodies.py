"""A body is read as the struct that the document is made of, and what is wrong with it is said in
a sentence.
"""

from typing import Any

import msgspec
import pytest

from server.core.wire import openapi
from server.core.wire.admin_schema import (
    IntegrationChange,
    NewIntegrationBody,
    NewInvitation,
    PersonChange,
    Policy,
)
from server.core.wire.rest_schema import MeChange, NewReply, ReadMark, SignIn, StatusChange
from server.errors import BadRequest
from server.http.api.integrations import changed_columns
from server.http.bodies import to_struct
from server.problems import catalogue

_NEW = {
    "accountId": 7,
    "inboxId": 12,
    "baseUrl": "https://chat.example.com",
    "accessToken": "a-token",
}


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ({}, StatusChange, "status must be Open or Closed"),
        ({"status": "open"}, StatusChange, "status must be Open or Closed"),
        ({}, NewReply, "content must be the reply's text"),
        ({"content": "x", "private": "yes"}, NewReply, "private must be true for a note among"),
        (
            {"content": "x", "lastSeenMessageId": 0},
            NewReply,
            "lastSeenMessageId must be a whole number above 0",
        ),
        ({"messageId": True}, ReadMark, "messageId must be the number of the newest message"),
        ({"isActive": None}, PersonChange, "isActive must be true or false"),
        ({"role": "owner"}, PersonChange, "role must be agent or admin"),
        ({"email": "a@example.com"}, NewInvitation, "name must be text"),
        ({"email": 3, "password": "x"}, SignIn, "email must be text"),
        ({"preferences": []}, MeChange, "preferences must be an object"),
        ({"requiresSecondFactor": 1}, Policy, "requiresSecondFactor must be true or false"),
        (_NEW | {"inboxId": "12"}, NewIntegrationBody, "inboxId must be a whole number above 0"),
        (_NEW | {"webhookMode": "x"}, NewIntegrationBody, "webhookMode must be live or local"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    body: dict[str, Any], kind: type[msgspec.Struct], sentence: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        to_struct(body, kind)
    assert refused.value.message.startswith(sentence)


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ({"status": "open"}, StatusChange, "status হতে হবে Open বা Closed"),
        ({"isActive": 1}, PersonChange, "isActive true বা false হতে হবে"),
        ({}, NewReply, "content-এ উত্তরের লেখা থাকতে হবে"),
    ],
)
def test_a_refusal_is_a_code_and_so_known_in_each_language(
    body: dict[str, Any], kind: type[msgspec.Struct], sentence: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        to_struct(body, kind)
    assert catalogue("bn").render(refused.value.problem) == sentence


def test_what_is_left_out_is_no_change() -> None:
    """And what is given is written, `false` as well; fields we do not have are passed over."""
    body = {"isActive": False, "webhookSecret": "s", "elsewhere": 1}
    assert changed_columns(to_struct(body, IntegrationChange)) == {
        "is_active": False,
        "webhook_secret": "s",
    }
    assert changed_columns(to_struct({}, IntegrationChange)) == {}


def test_null_is_taken_where_the_document_has_it() -> None:
    """A generated client sends the field of a secret it has not got as null."""
    new = to_struct(_NEW | {"webhookSecret": None}, NewIntegrationBody)
    assert (new.webhook_secret, new.webhook_mode) == (None, "live")
    reply = to_struct({"content": "x", "lastSeenMessageId": None}, NewReply)
    assert (reply.last_seen_message_id, reply.private) == (None, False)


def test_a_number_that_no_row_has_yet_is_a_number() -> None:
    """It is looked for, and not found; what no column holds is refused."""
    assert to_struct({"messageId": 2**63 - 1}, ReadMark).message_id == 2**63 - 1
    with pytest.raises(BadRequest):
        to_struct({"messageId": 2**63}, ReadMark)


def test_a_text_that_is_too_long_is_left_to_its_rule() -> None:
    """Its sentence says how long the text is and may be."""
    assert len(to_struct({"content": "x" * 150_001}, NewReply).content) == 150_001


def test_every_documented_body_can_be_read() -> None:
    """Each of them has a sentence for each of its fields."""
    bodies = [one.body for one in openapi.OPERATIONS if one.body is not None]
    kinds = [body for body in bodies if isinstance(body, type)]
    assert len(kinds) > 10
    for kind in kinds:
        for field in msgspec.structs.fields(kind):
            with pytest.raises(BadRequest, match=f"{field.encode_name} must be"):
                to_struct({**_SOME, field.encode_name: object()}, kind)


# what each kind needs before its other fields are looked at; the wrong one is put in its place
_SOME: dict[str, Any] = {
    **_NEW,
    "status": "Open",
    "content": "x",
    "messageId": 1,
    "email": "a@example.com",
    "name": "a",
    "password": "x",
    "presentPassword": "x",
    "newPassword": "x",
    "ticket": "x",
    "code": "x",
    "shortcut": "x",
    "preferences": {},
    "requiresSecondFactor": True,
}
