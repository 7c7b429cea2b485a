"""How a reply is divided into messages by its channel."""

import pytest

from server.core.state.reply_parts import Part, divided, is_further_part, part_keys

IMAGE, AUDIO = "image/png", "audio/ogg"


@pytest.mark.parametrize(
    ("channel", "text", "kinds", "parts", "answered"),
    [
        ("Channel::Whatsapp", "hi", [IMAGE, IMAGE], [Part("hi", (0,)), Part("", (1,))], 0),
        ("Channel::Whatsapp", "hi", [AUDIO], [Part("", (0,)), Part("hi")], 1),
        ("Channel::Whatsapp", "hi", [AUDIO, IMAGE], [Part("", (0,)), Part("hi", (1,))], 1),
        ("Channel::Whatsapp", "", [IMAGE, AUDIO], [Part("", (0,)), Part("", (1,))], 0),
        ("Channel::TwilioSms", "hi", [IMAGE, IMAGE], [Part("hi", (0,)), Part("", (1,))], 0),
        ("Channel::Instagram", "hi", [IMAGE], [Part("", (0,)), Part("hi")], 1),
        ("Channel::Tiktok", "hi", [IMAGE, IMAGE], [Part("", (0,)), Part("", (1,)), Part("hi")], 2),
        ("Channel::Tiktok", "hi", [], [Part("hi")], 0),
        ("Channel::WebWidget", "hi", [IMAGE, AUDIO], [Part("hi", (0, 1))], 0),
        ("Channel::Email", "hi", [IMAGE, IMAGE], [Part("hi", (0, 1))], 0),
        (None, "hi", [IMAGE, IMAGE], [Part("hi", (0, 1))], 0),
    ],
)
def test_a_reply_is_divided_as_its_channel_needs(
    channel: str | None, text: str, kinds: list[str], parts: list[Part], answered: int
) -> None:
    """The one that is answered with has the text."""
    assert divided(channel, text, kinds, is_private=False) == (parts, answered)


def test_a_note_stays_whole() -> None:
    """It goes to no channel."""
    assert divided("Channel::Tiktok", "hi", [IMAGE, IMAGE], is_private=True) == (
        [Part("hi", (0, 1))],
        0,
    )


@pytest.mark.parametrize("key", ["k", "x" * 60, "x" * 61, "x" * 64])
def test_keys_of_parts_fit_and_differ(key: str) -> None:
    """No client can write one, and keys that begin alike have other parts."""
    keys = part_keys(key)
    assert len(set(keys)) == len(keys) == 15
    assert all(len(one) <= 64 and is_further_part(one) for one in keys)
    assert not is_further_part(key)
    assert not set(keys) & set(part_keys(key[:-1] + "y"))
