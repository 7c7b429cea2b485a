"""What the simulated Chatwoot does wrong on request: one flat set of switches, readable and
settable from Python and HTTP.
"""

from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]
Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Switches(msgspec.Struct, forbid_unknown_fields=True):
    """All off by default. `*_next` counts down by one each time it has acted."""

    # -- the REST API --
    latency_seconds: Seconds = 0.0
    """Every answer comes this much later (before anything is done)."""
    fail_next: Count = 0
    fail_status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 500
    fail_after_commit: bool = False
    """With `fail_next`: the failing answer is given after the request has taken effect (a gateway's
    502, for example).
    """
    fail_writes_only: bool = False
    """With `fail_next`: only POST, PATCH and DELETE fail, and none that marks as read or tells of
    typing, which pages make unasked.
    """
    stands_still: bool = False
    """Requests wait in the backlog while this is on; afterwards they are worked off, also those of
    clients who have left.
    """
    write_seconds: Seconds = 0.0
    """POST, PATCH and DELETE are worked off one after the other, each taking so long; GETs at
    once.
    """
    hang_next: Count = 0
    hang_seconds: Seconds = 60.0
    """So many POST .../messages and .../retry are accepted and done, and then not answered for
    `hang_seconds`.
    """
    lose_next: Count = 0
    """So many POST .../messages and .../retry are accepted and done, and then the connection is cut
    without a byte.
    """
    mistakes_private: bool = False
    """Off what it should be: what is posted as a private note is stored as a public message, and
    the other way round.
    """
    splits_files: Literal["", "text_first", "text_last"] = ""
    """A message with several files is stored as one message a file, each with the request's content
    attributes; the answer is the first.
    """
    retry_wipes: bool = False
    """A Chatwoot of before 2026, whose POST .../retry sends whatever the message's state is, and
    wipes its content attributes.
    """
    knows_retry: bool = True
    """Off: a Chatwoot without POST .../retry, or a proxy before it that does not let it through."""
    retry_error: str = ""
    """With this refusal the channel fails each message that is handed to it again."""
    truncate_next: Count = 0
    """So many answers are cut in the middle of the body."""
    limit_next: Count = 0
    """So many answers are 429 (before anything is done)."""
    rate_limited: bool = False
    """Every answer is 429 while this is on."""
    requests_per_minute: Count = 0
    """Above so many requests in a calendar minute: 429. 0 = no limit, as for Chatwoot's own
    machine.
    """
    unauthorized: bool = False
    """Every token is refused from now on."""
    fail_matching: str = ""
    """Every request whose path and query contain this text fails with `fail_status`, however often
    it is made.
    """
    page_length: Annotated[int, msgspec.Meta(ge=1)] = 25
    """CONVERSATION_RESULTS_PER_PAGE: conversations a page."""
    repeats_page: bool = False
    """Every page of conversations is the first one, whatever page is asked for."""
    empty_page: Count = 0
    """This page of conversations is empty although there are more behind it. 0 = off."""
    row_seconds: Seconds = 0.0
    """What each row of an answer to `updated_within` takes to build: it is not paged. Really about
    0.02.
    """
    rack_timeout_seconds: Seconds = 15.0
    """Work that would take longer than this ends so late, with 500 (rack-timeout)."""
    knows_typing: bool = True
    """Off: a Chatwoot before 4.2, which refuses to be asked for typing events."""

    # -- the webhooks --
    drop_next: Count = 0
    drop_rate: Rate = 0.0
    """Share of deliveries that are never sent."""
    duplicate: Literal["", "same_id", "new_id"] = ""
    """Every delivery is sent twice: with the same delivery id (a job run again), or a second one
    (an event dispatched twice).
    """
    shuffle_window: Count = 0
    shuffle_seconds: Seconds = 0.3
    """Collect up to `shuffle_window` deliveries for up to `shuffle_seconds`, then send them in
    random order. 0 = off.
    """
    delay_seconds: Seconds = 0.0
    """Deliveries leave this much later than their change (a busy Sidekiq)."""
    late_payload: bool = False
    """Build the payload when it is sent instead of when the change is made: it then shows the state
    of that later moment.
    """
    holds_webhooks: bool = False
    """Webhooks wait in their queue while this is on: Sidekiq has other work. Replies and the
    agents' socket go on.
    """

    # -- how long Sidekiq's jobs take, each by half more or less; several threads share them --
    broadcast_job_seconds: Seconds = 0.0
    """A frame of the agents' socket (queue `critical`)."""
    reply_job_seconds: Seconds = 0.0
    """Sending an agent's message on to its channel (queue `high`)."""
    webhook_job_seconds: Seconds = 0.0
    """A webhook (queue `medium`), besides what its receiver takes."""

    # -- the agents' socket --
    refuses_sockets: bool = False
    """Nobody's subscription is answered: pings go on, as they do for a wrong token."""
    cuts_sockets_after: Seconds = 0.0
    """A socket's connection is cut after so long. 0 = never."""
    ping_seconds: Seconds = 3.0
    writes_views: bool = False
    """An agent's look is written into the conversation as a line, which the agents' socket tells:
    some Chatwoots do.
    """
    tells_unread_changes: bool = False
    """The agents' socket says that a number of unread messages has changed, of which conversation
    not: newer Chatwoots can.
    """

    def set(self, **values: object) -> None:
        """Change some of them. An unknown name or an impossible value raises
        `msgspec.ValidationError`, nothing is changed then.
        """
        checked = msgspec.convert({**msgspec.structs.asdict(self), **values}, Switches)
        for name in self.__struct_fields__:
            setattr(self, name, getattr(checked, name))

    def count_down(self, name: str) -> bool:
        """Whether the countdown `name` was above zero; it is one less then."""
        left: int = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left > 0

    def reset(self) -> None:
        """All off."""
        self.set(**msgspec.structs.asdict(Switches()))
