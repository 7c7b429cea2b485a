"""A channel's refusal is a code and a sentence for agents; its own words are not theirs to read."""

import json

import msgspec
import pytest

from server.core.state.entities import DeliveryError, Message
from server.core.state.refusals import SENTENCES, refusal_code
from server.core.state.views import message_view
from server.web_folder import web_folder

# as Chatwoot stores them, by channel
WORDS = {
    "131047: Re-engagement message": "channel_window",
    "10 - (#10) This message is sent outside of allowed window.": "channel_window",
    "63016 - Failed to send freeform message": "channel_window",
    "Template not found or invalid template name": "channel_template",
    "131026: Message undeliverable": "channel_unreachable",
    "(#131030) Recipient phone number not in allowed list": "channel_unreachable",
    "551 - (#551) This person isn't available right now.": "channel_unreachable",
    "100 - (#100) No matching user found": "channel_unreachable",
    "Error code: 30003": "channel_unreachable",
    "[HTTP 400] 21211 : Unable to create record\nInvalid 'To' Phone Number": "channel_unreachable",
    "400, Bad Request: chat not found": "channel_unreachable",
    "403, Forbidden: bot was blocked by the user": "channel_blocked",
    "[HTTP 400] 21610 : Unable to create record": "channel_blocked",
    "131053: Media upload error": "channel_file",
    "Sending attachments with text is not supported on TikTok.": "channel_file",
    "400, Bad Request: file is too big": "channel_file",
    "190 - Error validating access token: the session was invalidated": "channel_token",
    "401, Unauthorized": "channel_token",
    "[HTTP 401] 20003 : Unable to create record\nAuthenticate": "channel_token",
    "131031: Account has been locked": "channel_account",
    "130429: Rate limit hit": "channel_limit",
    "429, Too Many Requests: retry after 5": "channel_limit",
    "Failed to open TCP connection to api.twilio.com:443 (getaddrinfo)": "channel_away",
    "Request timed out, please try again later": "channel_away",
    "Connection timed out - connect(2) for graph.facebook.com:443": "channel_away",
    "Net::ReadTimeout with #<TCPSocket:(closed)>": "channel_unclear",
    "execution expired": "channel_unclear",
    "Connection reset by peer": "channel_unclear",
    "end of file reached": "channel_unclear",
    "undefined method `message_id' for nil": "channel",
    "Refused by the bridge": "channel",
    "131047 customers wait": "channel",
    "10 - (#10) Application does not have permission": "channel",
    "999999: Something new": "channel",
    "": "channel",
}


@pytest.mark.parametrize("words", WORDS)
def test_each_channels_words_have_their_code(words: str) -> None:
    """By the numbers and phrases of Meta, Twilio and Telegram as Chatwoot writes them."""
    assert refusal_code(words) == WORDS[words]


@pytest.mark.parametrize("words", WORDS)
def test_agents_read_a_sentence_and_nothing_else(words: str) -> None:
    """The stored row keeps the channel's words; what every client gets does not have them."""
    error = DeliveryError("channel", words)
    row = Message(1, 1, "agent", "Yes", 1, delivery_state="failed", delivery_error=error)
    shown = message_view(row)["deliveryError"]
    assert shown == DeliveryError(WORDS[words], SENTENCES[WORDS[words]])
    assert not words or words not in msgspec.json.encode(message_view(row)).decode()


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("Chatwoot refused it: undefined method `id' for nil", "Chatwoot refused it. "),
        ("Chatwoot refused it: Validation failed: Content is too long", "Content is too long"),
        ("The conversation no longer exists in Chatwoot", "no longer exists"),
    ],
)
def test_of_chatwoots_refusal_agents_read_what_is_said_to_people(stored: str, shown: str) -> None:
    """Chatwoot answers every exception with its text (messages_controller.rb, `create`)."""
    error = DeliveryError("chatwoot_422", stored)
    row = Message(1, 1, "agent", "Yes", 1, delivery_state="failed", delivery_error=error)
    found = message_view(row)["deliveryError"]
    assert found.code == "chatwoot_422"
    assert shown in found.message
    assert "undefined" not in found.message


def test_the_pages_have_each_sentence_in_every_language() -> None:
    """The English one is the API's."""
    texts = {
        lang: json.loads((web_folder() / "locale" / f"{lang}.json").read_text())
        for lang in ("en", "bn")
    }
    for code, sentence in SENTENCES.items():
        assert texts["en"][f"error.{code}"] == sentence
        assert texts["bn"][f"error.{code}"] not in ("", sentence)
