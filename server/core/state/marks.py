"""What a conversation is marked with in the list and in its head."""

import msgspec
from msgspec.structs import replace

from server.core.times import DAY_US


class Team(msgspec.Struct, frozen=True):
    """The team of Chatwoot to which a conversation is assigned."""

    id: int | None
    name: str | None


class Marks(msgspec.Struct, frozen=True, omit_defaults=True):
    """What Chatwoot says of a conversation besides its state; stored as JSON. `given_email`: what
    the customer left in the chat. `blocked_us`: when what last changed `is_blocked` was so: by our
    clock, of the contact's own news and of an answer; by Chatwoot's, of a delivery. `open_us`: when
    Chatwoot was last asked about a conversation that had not changed for a day, and said that a
    reply is possible; to the day, so that asking again moves nothing.
    """

    snoozed_until_us: int | None = None
    team: Team | None = None
    is_blocked: bool = False
    inbox_name: str | None = None
    mail_subject: str | None = None
    given_email: str | None = None
    blocked_us: int = 0
    open_us: int = 0


NO_MARKS = Marks()


def with_newer(
    known: Marks,
    newer: Marks | None,
    *,
    is_whole: bool,
    as_of_us: int = 0,
) -> Marks:
    """The marks after a newer state came, which was so at `as_of_us` or later. A name of an inbox,
    a subject and an address that it does not name stay: not every event names them. So does a block
    that is known of later than that: it moves no version of a conversation.
    """
    if newer is None:
        return known
    changes_block = newer.is_blocked != known.is_blocked and as_of_us > known.blocked_us
    kept = replace(
        newer,
        is_blocked=newer.is_blocked if changes_block else known.is_blocked,
        blocked_us=as_of_us if changes_block else known.blocked_us,
        open_us=newer.open_us if newer.open_us > known.open_us + DAY_US else known.open_us,
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


def with_block(known: Marks, newer: Marks | None, received_us: int) -> Marks:
    """The marks after a contact's own news, received at `received_us`."""
    if newer is None or newer.is_blocked == known.is_blocked:
        return known
    return replace(known, is_blocked=newer.is_blocked, blocked_us=received_us)
