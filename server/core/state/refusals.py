"""Why a channel did not deliver a message: Chatwoot keeps the channel's own words and nothing else
(`external_error`), agents read a sentence.

Those words are for administrators: they can be an inner error of Chatwoot's. What is recognised are
the numbers and phrases below, as Chatwoot writes them:

* WhatsApp "131047: Re-engagement message" (incoming_message_base_service.rb), or Meta's sentence
  alone, "(#131030) Recipient ..." (providers/base_service.rb); Messenger and Instagram "190 -
  Error validating access token" (`external_error` of their send services). Numbers:
  developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes and
  .../messenger-platform/error-codes.
* Twilio "63016 - ..." or "Error code: 30003" (twilio/delivery_status_service.rb), "[HTTP 400] 21610
  : ..." (twilio-ruby's RestError). Numbers: twilio.com/docs/api/errors.
* WhatsApp "Template not found or invalid template name", of a message without a template outside of
  the window as well (send_on_whatsapp_service.rb).
* Telegram "403, Forbidden: bot was blocked by the user" (models/channel/telegram.rb). Texts:
  github.com/TelegramBotAPI/errors.
* TikTok "Sending attachments with text is not supported on TikTok." (send_on_tiktok_service.rb).
"""

import functools
import re
from collections.abc import Mapping

CHANNEL_ERROR = "channel"

# code -> the sentence for people; web/locale has it in every language
SENTENCES: Mapping[str, str] = {
    CHANNEL_ERROR: "The channel did not deliver it. Administrators see the channel's own words.",
    "channel_window": "The channel takes replies only for some time after the customer's last "
    "message, and that time is over. It can be answered again once the customer writes.",
    "channel_template": "WhatsApp takes only approved templates once the time after the customer's "
    "last message is over, and Chatwoot found none for this message. It can be answered again once "
    "the customer writes.",
    "channel_unreachable": "The channel does not reach this customer: the number or account is "
    "not there, or takes no messages.",
    "channel_blocked": "The customer has blocked messages from the company in this channel.",
    "channel_file": "The channel does not take this file: it is too large, of a type that it does "
    "not carry, or came with text that it takes apart.",
    "channel_token": "The channel does not accept Chatwoot's access any more; an administrator "
    "must connect the inbox again in Chatwoot.",
    "channel_account": "The channel has restricted the company's account; an administrator must "
    "look into the account there.",
    "channel_limit": "The channel takes no more messages at the moment. Wait some minutes, then "
    "send it again.",
    "channel_away": "Chatwoot could not reach the channel. Send it again in a while.",
    "channel_unclear": "The channel did not answer Chatwoot, so the customer may have got it. Look "
    "in the channel, or ask the customer, before you send it again.",
}
REFUSED = "Chatwoot refused it"
_HIDDEN = f"{REFUSED}. Administrators see its own words."
_FOR_PEOPLE = f"{REFUSED}: Validation failed: "  # Rails' words on what was given

_NUMBERS: Mapping[str, tuple[int, ...]] = {
    "channel_window": (470, 63016, 131047, 2018278),
    "channel_unreachable": (
        *(551, 1013, 21211, 21408, 21612, 21614, 30003, 30005, 30006, 63003, 63024),
        *(131026, 131030, 2018001),
    ),
    "channel_blocked": (21610, 30004, 131050),
    "channel_file": (11751, 12300, 21620, 30011, 63019, 131051, 131052, 131053),
    "channel_token": (102, 190, 401, 20003, 131005),
    "channel_account": (368, 30002, 63020, 131031, 131042, 131045),
    "channel_limit": (4, 32, 429, 613, 20429, 63018, 80007, 130429, 131048, 131056),
}
_CODE_OF = {number: code for code, numbers in _NUMBERS.items() for number in numbers}
# looked for in this order, before the numbers: Meta's 10 is a permission as well as a window
_PHRASES: Mapping[str, tuple[str, ...]] = {
    "channel_window": ("outside of allowed window", "outside the allowed window"),
    "channel_template": ("template not found or invalid template name",),
    "channel_blocked": ("blocked by the user",),
    "channel_unreachable": ("chat not found", "no matching user", "user is deactivated"),
    "channel_file": (
        *("attachments with text", "multiple attachments", "file is too big"),
        *("request entity too large", "wrong file identifier", "unsupported media"),
    ),
    "channel_token": (
        *("error validating access token", "session has been invalidated"),
        *("invalid oauth access token", "authentication failed"),
    ),
    "channel_limit": ("too many requests", "rate limit"),
    # it was not reached: Messenger's words for Net::OpenTimeout are Chatwoot's own
    "channel_away": (
        *("failed to open tcp connection", "getaddrinfo", "net::opentimeout", "connect(2)"),
        *("connection refused", "request timed out, please try again later"),
    ),
    # it was, and may have done what it was asked for
    "channel_unclear": (
        *("timed out", "execution expired", "net::readtimeout", "connection reset"),
        *("end of file reached", "broken pipe"),
    ),
}
_NUMBER = re.compile(
    r"(?:\[HTTP \d{3}\] |error code: |\(?#)?(\d{1,7})(?=\)|\s*[:,]|\s+-|$)", re.IGNORECASE
)


@functools.lru_cache(maxsize=512)
def shown_refusal(code: str, text: str) -> tuple[str, str]:
    """Code and sentence of a delivery error as everybody sees them, of those that are stored:
    nothing of the channel's own words, and of Chatwoot's only what it says to people.
    """
    if code == CHANNEL_ERROR:
        found = refusal_code(text)
        return found, SENTENCES[found]
    if text.startswith(REFUSED) and code != "chatwoot_denied":
        return code, text if text.startswith(_FOR_PEOPLE) else _HIDDEN
    return code, text


def refusal_code(text: str) -> str:
    """The code of a channel's refusal, by its own words; `channel` where they say nothing that is
    known.
    """
    words = text.casefold()
    for code, phrases in _PHRASES.items():
        if any(phrase in words for phrase in phrases):
            return code
    number = _NUMBER.match(text.lstrip())
    return _CODE_OF.get(int(number[1]), CHANNEL_ERROR) if number else CHANNEL_ERROR
