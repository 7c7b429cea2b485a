"""How one agent reads a page: words, numbers and times in their language and zone.
static/js/i18n.js prints the same.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from server.core.state.message_kinds import KINDS, is_stand_in
from server.core.state.reply_window import may_be_longer
from server.core.times import SECOND
from server.problems import Catalogue, Text

JsonObject = Mapping[str, Any]
MEDIA = ("image", "audio", "video")
LANGUAGES = ("en", "bn")
_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))
# with the name of an Instagram account before it: more is a customer's own text
_MENTIONED = re.compile(r"[A-Za-z0-9._]{0,100} mentioned you in the story: *")
_GROUP = "@g.us"  # WhatsApp's address of a group, which Chatwoot keeps as its contact's e-mail
_NO_PROBLEMS = Catalogue({})
_BENGALI_DIGITS = {ord("0") + n: chr(0x09E6 + n) for n in range(10)}


@dataclass(frozen=True)
class Wait:
    """How long a customer has been waiting: the class of its badge, and its text."""

    level: str
    text: str


@dataclass(frozen=True)
class ReplyWindow:
    """Whether the customer can still be answered, and the sentence that says until when."""

    is_closed: bool
    text: str


@dataclass(frozen=True)
class Locale:
    """How one agent reads: language, time zone, and now."""

    lang: str
    catalogue: Mapping[str, str]
    zone: tzinfo
    now: datetime
    has_bengali_digits: bool = False
    problems: Catalogue = _NO_PROBLEMS

    def t(self, key: str, **values: object) -> str:
        """The text of `key`; `n` chooses between `.one` and `.other` where the catalogue has
        them.
        """
        count = values.get("n")
        is_one = isinstance(count, int) and (count == 1 or (self.lang == "bn" and count == 0))
        plural = f"{key}.{'one' if is_one else 'other'}"
        text = self.catalogue[plural if plural in self.catalogue else key]
        return re.sub(r"\{(\w+)\}", lambda match: self._value(values[match[1]]), text)

    def word(self, kind: str, value: str) -> str:
        """The word for one of a set of names that others may extend; an unknown name is its own
        word.
        """
        return self.catalogue.get(f"{kind}.{value}", value)

    def _value(self, value: object) -> str:
        return self.number(value) if isinstance(value, int) else str(value)

    def number(self, value: int) -> str:
        """Format an integer in the language's digits, without separators."""
        return self.digits(str(value))

    def thousands(self, value: int) -> str:
        """Format an integer in the language's digits, with separators of thousands."""
        return self.digits(f"{value:,}")

    def exact(self, moment_us: int | None) -> str:
        """Format a moment in the reader's zone, to the millisecond and with the zone's distance
        from UTC, as logs are in UTC: `2026-07-18 15:01:05.204 UTC+06:00`.
        """
        if moment_us is None:
            return "—"
        seconds, rest = divmod(moment_us, SECOND)
        at = datetime.fromtimestamp(seconds, self.zone)
        distance = at.strftime("%z")
        shown = f"{distance[:3]}:{distance[3:5]}" if distance.strip("+-0") else ""
        return self.digits(f"{at:%Y-%m-%d %H:%M:%S}.{rest // 1000:03d} UTC{shown}")

    def ago(self, moment_us: int | None) -> str:
        """Format how long ago a moment was, in one unit, as administrators read it; the exact
        moment is shown with it.
        """
        if moment_us is None:
            return self.t("admin.never")
        seconds = max(0, int(self.now.timestamp() - moment_us / SECOND))
        unit, size = next((one for one in _UNITS if seconds >= one[1]), _UNITS[-1])
        return self.t(f"admin.ago.{unit}", n=seconds // size)

    def after(self, began_us: int, ended_us: int) -> str:
        """Format a duration between two moments, in milliseconds."""
        return self.t("admin.milliseconds", n=(ended_us - began_us) // 1000)

    def sentence(self, text: Text) -> str:
        """A problem in the page's language, with the end of a sentence."""
        return self.problems.sentence(text)

    def words(self, text: Text) -> str:
        """The same without an end, for a table or a heading."""
        return self.problems.render(text)

    def digits(self, text: str) -> str:
        """The text with its digits as the agent reads them."""
        return text.translate(_BENGALI_DIGITS) if self.has_bengali_digits else text

    def _local(self, iso: str) -> datetime:
        return moment_of(iso).astimezone(self.zone)

    def clock(self, iso: str) -> str:
        """Format a moment (ISO 8601) as HH:MM in the page's time zone."""
        return self.digits(self._local(iso).strftime("%H:%M"))

    def _date(self, at: datetime, with_year: bool) -> str:
        month = self.catalogue["time.months"].split(" ")[at.month - 1]
        return f"{self.number(at.day)} {month}" + (f" {self.number(at.year)}" if with_year else "")

    def day(self, iso: str) -> str:
        """Format a moment's date: today, yesterday, or day and month; the year only if it is
        another one.
        """
        at, now = self._local(iso), self.now.astimezone(self.zone)
        days_ago = (now.date() - at.date()).days
        if days_ago == 0:
            return self.t("time.today")
        return (
            self.t("time.yesterday")
            if days_ago == 1
            else self._date(at, with_year=at.year != now.year)
        )

    def is_tomorrow(self, iso: str) -> bool:
        """Whether a moment is of the day after this one, in the page's time zone."""
        return (self._local(iso).date() - self.now.astimezone(self.zone).date()).days == 1

    def list_time(self, iso: str | None) -> str:
        """Format a moment for a row of the list: the time if it was today, else the day; empty for
        None.
        """
        if iso is None:
            return ""
        is_today = self._local(iso).date() == self.now.astimezone(self.zone).date()
        return self.clock(iso) if is_today else self.day(iso)

    def full(self, iso: str) -> str:
        """Format a moment with date, year and time."""
        return f"{self._date(self._local(iso), with_year=True)}, {self.clock(iso)}"

    def waiting(self, iso: str | None) -> Wait | None:
        """How long a customer has waited; nothing below a quarter of an hour, where a number would
        only be noise.
        """
        minutes = int((self.now - moment_of(iso)).total_seconds() // 60) if iso else 0
        return (
            Wait("warn" if minutes < 60 else "bad", self.span(minutes)) if minutes >= 15 else None
        )

    def span(self, minutes: int) -> str:
        """Format a number of minutes as minutes, as hours from one hour, as days from two days."""
        if minutes < 60:
            return self.t("time.minutes", n=minutes)
        return (
            self.t("time.hours", n=minutes // 60)
            if minutes < 48 * 60
            else self.t("time.days", n=minutes // 1440)
        )

    def choice(self, name: str, value: object) -> str:
        """What one value of a preference is called."""
        if name == "undoSeconds":
            return self.t("time.seconds", n=value) if value else self.t("choice.undoSeconds.none")
        if name == "theme" or value == "auto":
            return self.t(f"menu.{value}")
        return self.t(f"choice.{name}.{value}")

    def reply_window(self, conversation: JsonObject) -> ReplyWindow:
        """Return how long the channel still accepts replies, or why it does not; no text where it
        has no such window.
        """
        state, until = conversation.get("replyWindow"), conversation.get("replyUntil")
        is_open = state == "open"
        left = (moment_of(until) - self.now).total_seconds() if is_open and until else 0
        if left > 0:
            time = self.span(int(left // 60))
            return ReplyWindow(is_closed=False, text=self.t("window.open", time=time))
        if state is None:
            return ReplyWindow(is_closed=False, text="")
        if is_open and may_be_longer(conversation.get("channel")):
            return ReplyWindow(is_closed=False, text=self.t("window.perhaps"))
        reason = conversation.get("replyClosedReason") or "expired"
        return ReplyWindow(is_closed=True, text=self.word("window", reason))

    def initial(self, name: str) -> str:
        """Return the first letter or digit of a name in capitals; a dot where there is neither."""
        return (
            next((sign for sign in name if unicodedata.category(sign)[0] in "LN"), "•").upper()
            if name
            else ""
        )

    def preview(self, preview: JsonObject | None) -> str:
        """Return the text of a conversation's last message for its row; empty where there is
        none.
        """
        if not preview:
            return ""
        text = self.line(preview.get("kind"), preview["content"])
        if not text and preview["hasAttachments"]:
            text = self.t("row.attachment")
        return self.t("row.reply", text=text) if preview["senderType"] == "agent" else text

    def line(self, kind: str | None, content: str) -> str:
        """Return a message in one line. The line of ours that stands for one without a text begins
        with its kind in English: that word is said in the page's language.
        """
        if not kind or kind == "text":
            return content
        if ours := self.shared(kind, content):
            return ours
        content = "" if is_stand_in(kind, content) else content
        english = KINDS.get(kind, "")
        is_ours = content == english or content.startswith(f"{english}: ")
        if content and not is_ours:
            return content
        more = content.removeprefix(english).removeprefix(": ")
        word = self.word("kind", kind)
        return f"{word}: {more}" if more else word

    def shared(self, kind: str | None, content: str) -> str | None:
        """Return in the page's language what Chatwoot writes for a post or a story that came
        without words; None for another text. Its texts are `instagram_shared_post_content` and the
        like in config/locales/en.yml.
        """
        if kind not in ("link", "image", "video"):
            return None
        of_mention = "story_mention" if _MENTIONED.fullmatch(content) else None
        name = {"Shared post": "share", "Shared story": "sharedStory"}.get(content, of_mention)
        return name and self.t(f"linkType.{name}")

    def contact(self, conversation: JsonObject) -> str:
        """Return the customer's phone number and e-mail address; the conversation's status if
        neither is known.
        """
        contact = conversation.get("contact") or {}
        email = None if is_group(conversation) else contact.get("email")
        details = " · ".join(filter(None, (contact.get("phone"), email)))
        return details or self.t(
            "status.Open" if conversation["status"] == "Open" else "status.Closed"
        )

    def reason(self, error: JsonObject | None) -> str:
        """Return why a reply failed: the catalogue's sentence for its code, else Chatwoot's own
        words.
        """
        key = f"error.{(error or {}).get('code')}"
        return (
            self.t(key)
            if key in self.catalogue
            else (error or {}).get("message") or self.t("error.unknown")
        )


def is_group(conversation: JsonObject) -> bool:
    """Whether a conversation is a group's, in which each customer has a name of their own."""
    return ((conversation.get("contact") or {}).get("email") or "").endswith(_GROUP)


def moment_of(iso: str) -> datetime:
    """Parse an ISO 8601 moment. Raises ValueError."""
    return datetime.fromisoformat(iso)


def preferred_language(accepted: str) -> str:
    """Return the language of ours that an `Accept-Language` header prefers; English if it names
    none.
    """
    ranked = []
    for position, entry in enumerate(accepted.split(",")):
        tag, _, weight = entry.strip().partition(";q=")
        try:
            ranked.append((-float(weight or 1), position, tag.split("-")[0].lower()))
        except ValueError:
            continue
    return next((lang for _, _, lang in sorted(ranked) if lang in LANGUAGES), LANGUAGES[0])
