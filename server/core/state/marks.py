"""What a conversation is marked with in the list and in its head."""

import msgspec
from msgspec.structs import replace


class Team(msgspec.Struct, frozen=True):
    """The team of Chatwoot to which a conversation is assigned."""

    id: int | None
    name: str | None


class Marks(msgspec.Struct, frozen=True, omit_defaults=True):
    """What Chatwoot says of a conversation besides its state; stored as JSON. `given_email`: what
    the customer left in the chat.
    """

    snoozed_until_us: int | None = None
    team: Team | None = None
    is_blocked: bool = False
    inbox_name: str | None = None
    mail_subject: str | None = None
    given_email: str | None = None


NO_MARKS = Marks()


def with_newer(
    known: Marks,
    newer: Marks | None,
    *,
    is_whole: bool,
) -> Marks:
    """The marks after a newer state came. A name of an inbox, a subject and an address that it
    does not name stay: not every event names them.
    """
    if newer is None:
        return known
    kept = replace(
        newer,
        inbox_name=newer.inbox_name or known.inbox_name,
        mail_subject=newer.mail_subject or known.mail_subject,
        given_email=newer.given_email or known.given_email,
    )
    if is_whole:
        return kept
    return replace(
        known,
        inbox_name=known.inbox_name or newer.inbox_name,
        mail_subject=known.mail_subject or newer.mail_subject,
        given_email=newer.given_email or known.given_email,
    )
