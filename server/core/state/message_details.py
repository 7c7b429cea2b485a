"""What a message has besides its text and its files, stored as JSON; each key only where there is
something.
"""

import msgspec


class Quote(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The message of the same conversation that this one answers."""

    chatwoot_message_id: int


class Ad(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ad from which the customer came."""

    headline: str | None = None
    body: str | None = None
    url: str | None = None


class Email(msgspec.Struct, frozen=True, omit_defaults=True):
    """The head of a mail. `quoted`: the end of the text, which is somebody's older mail."""

    subject: str | None = None
    sender: str | None = msgspec.field(default=None, name="from")
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    quoted: str | None = None


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the answers to choose from."""

    title: str
    value: str | None = None


class FormField(msgspec.Struct, frozen=True, omit_defaults=True):
    """A field of a form; `value` once the customer has filled it in."""

    label: str
    name: str | None = None
    type: str | None = None
    value: str | None = None


class CardAction(msgspec.Struct, frozen=True, omit_defaults=True):
    """A button of a card; `url` where it opens a page."""

    text: str
    url: str | None = None


class Card(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A card, or an article."""

    title: str
    description: str | None = None
    image_url: str | None = None
    actions: tuple[CardAction, ...] = ()


class Rating(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the customer rated the conversation, 1 to 5, and their words."""

    value: int | None = None
    feedback: str | None = None


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call: inbound or outbound, Chatwoot's word for its outcome, its length."""

    direction: str | None = None
    outcome: str | None = None
    seconds: int | None = None


class Meeting(msgspec.Struct, frozen=True, omit_defaults=True):
    """A video meeting that was begun."""

    provider: str


class Translation(msgspec.Struct, frozen=True):
    """The text in another language."""

    language: str
    text: str


class Story(msgspec.Struct, frozen=True, omit_defaults=True):
    """The story that a message answers or tells of."""

    url: str | None = None
    sender: str | None = None


class MessageDetails(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Beside what clients see: `sender_kind`, where it says more than the sender's type, and
    whether Chatwoot cannot show it (`is_unsupported`).
    """

    sender_kind: str | None = None
    is_unsupported: bool = False
    quote: Quote | None = None
    previous_content: str | None = None
    ad: Ad | None = None
    email: Email | None = None
    options: tuple[Option, ...] = ()
    chosen: tuple[Option, ...] = ()
    form: tuple[FormField, ...] = ()
    cards: tuple[Card, ...] = ()
    articles: tuple[Card, ...] = ()
    rating: Rating | None = None
    given_email: str | None = None
    call: Call | None = None
    meeting: Meeting | None = None
    translations: tuple[Translation, ...] = ()
    story: Story | None = None


NO_DETAILS = MessageDetails()


def shown_details(details: MessageDetails | None) -> MessageDetails | None:
    """Return what clients see of it; None where that is nothing."""
    if details is None:
        return None
    bare = msgspec.structs.replace(details, sender_kind=None, is_unsupported=False)
    return None if bare == NO_DETAILS else bare


def answer_of(details: MessageDetails | None) -> str:
    """Return what the customer answered to the question that a message is, in one line."""
    if details is None:
        return ""
    said = [one.title for one in details.chosen]
    said += [one.value for one in details.form if one.value]
    if details.rating is not None:
        value = details.rating.value
        said += ["★" * value + "☆" * (5 - value)] if value else []
        said += [details.rating.feedback] if details.rating.feedback else []
    said += [details.given_email] if details.given_email else []
    return ", ".join(said)


def searched_words(details: MessageDetails | None) -> list[str]:
    """Return the words by which a message is found besides its text."""
    if details is None:
        return []
    words: list[str | None] = [one.text for one in details.translations]
    words += [one.value for one in details.form]
    words += [one.title for one in (*details.options, *details.chosen)]
    for card in (*details.cards, *details.articles):
        words += [card.title, card.description]
    words.append(details.given_email)
    if (email := details.email) is not None:
        words += [email.subject, email.sender, *email.to, *email.cc, *email.bcc]
    if details.rating is not None:
        words.append(details.rating.feedback)
    if details.ad is not None:
        words += [details.ad.headline, details.ad.body]
    if details.story is not None:
        words.append(details.story.sender)
    return [word for word in words if word]
