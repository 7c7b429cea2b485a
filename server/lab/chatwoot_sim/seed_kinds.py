"""A choice of the kinds of message on several channels, for whoever looks at the inbox first."""

from server.lab.chatwoot_sim.kind_catalogue import INBOXES
from server.lab.chatwoot_sim.kind_player import inbox_of, play_kind
from server.lab.chatwoot_sim.model import Inbox
from server.lab.chatwoot_sim.state import ChatwootSim

# oldest first
_CHOICE = (
    *("46-line-sticker", "172-sms-greeting", "93-tt-sticker-unsupported", "31-tg-location"),
    *("170-bot-message", "134-out-cards", "132-out-form", "130-out-input_select"),
    *(
        "139-out-in_reply_to",
        "150-automation-message",
        "137-out-note-mention",
        "156-csat-on-resolve",
    ),
    *("76-ig-story-mention", "80-ig-post", "85-ig-reply"),
    *("60-fb-text", "63-fb-fallback", "70-fb-echo", "18x-reply-facebookpage-7-voice-text"),
    *("100-mail-plain", "102-mail-quoted-thread-cc", "103-mail-attachments-bengali"),
    *("12-wa-ad-referral", "02-wa-location", "04-wa-contacts", "09-wa-sticker", "17-wa-voice"),
    *("21-wa-echo", "23-wa-echo2-failed", "20-wa-edited", "113-translated"),
    "175-voice-call-inbound-as-row",
)
_HOURS_AGO, _STEP_SECONDS = 2.5, 190.0  # all of them end before the newest of the seed


def inboxes_of_kinds(sim: ChatwootSim) -> list[Inbox]:
    """The inboxes of all kinds, made where they are not there yet."""
    return [inbox_of(sim, inbox) for inbox in INBOXES]


def seed_kinds(sim: ChatwootSim) -> None:
    """Play the choice as of the last hours: about thirty messages on eight channels."""
    for number, kind in enumerate(_CHOICE):
        with sim.time_shifted(number * _STEP_SECONDS - _HOURS_AGO * 3600):
            play_kind(sim, kind)
