"""What a sync found: counted as it goes, and compared with what Chatwoot has."""

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec

from server import log
from server.core.state.tracked import Result
from server.errors import OmniError
from server.incoming.incoming_changes import IncomingChange
from server.problems import Text, english

_logger = log.get(__name__)
_MAX_ERRORS = 20
_MAX_DIFFERENCES = 100

Json = dict[str, Any]


class Difference(msgspec.Struct, frozen=True):
    """A conversation whose messages are not all here."""

    conversation: int
    there: int
    here: int
    missing: int


class Comparison(msgspec.Struct):
    """What Chatwoot has, and what of it is here. `there` without activity lines, which are not kept
    here.
    """

    conversations_there: int = 0
    conversations_here: int = 0
    messages_there: int = 0
    messages_here: int = 0
    messages_missing: int = 0
    differences: list[Difference] = msgspec.field(default_factory=list)

    def view(self) -> Json:
        """As the endpoint and the command answer it."""
        there, here = self.conversations_there, self.conversations_here
        return {
            "conversations": {"there": there, "here": here, "missing": max(0, there - here)},
            "messages": {
                "there": self.messages_there,
                "here": self.messages_here,
                "missing": self.messages_missing,
            },
            "differences": [msgspec.to_builtins(one) for one in self.differences],
        }

    @property
    def is_incomplete(self) -> bool:
        """Whether Chatwoot has more than there is here."""
        return self.conversations_here < self.conversations_there or self.messages_missing > 0

    def add(self, number: int, there: set[int], here: set[int]) -> None:
        """Count a conversation's messages, by Chatwoot's numbers."""
        missing = len(there - here)
        self.messages_there += len(there)
        self.messages_here += len(there & here)
        self.messages_missing += missing
        if missing and len(self.differences) < _MAX_DIFFERENCES:
            self.differences.append(Difference(number, len(there), len(there & here), missing))


class SyncOutcome(msgspec.Struct):
    """What a sync found, so far or in the end."""

    integration_id: int
    total: int | None = None  # conversations there are in Chatwoot, once it has said so
    walked: int = 0  # conversations, those of an interrupted sync before it included
    walked_before: int = 0  # by that
    is_resumed: bool = False
    conversations_created: int = 0
    conversations_updated: int = 0
    messages_created: int = 0
    messages_updated: int = 0
    messages_skipped: int = 0
    comparison: Comparison = msgspec.field(default_factory=Comparison)
    errors: list[Text] = msgspec.field(default_factory=list)
    error_count: int = 0  # `errors` has the first ones
    failures: int = 0  # conversations in a row that Chatwoot could not show

    def view(self) -> Json:
        """As the endpoint and the command answer it."""
        return {
            "integrationId": self.integration_id,
            "conversations": {
                "created": self.conversations_created,
                "updated": self.conversations_updated,
            },
            "messages": {"created": self.messages_created, "skipped": self.messages_skipped},
            "comparison": self.comparison.view(),
            "errors": [english(one) for one in self.errors],
        }

    def count(self, incoming: IncomingChange) -> None:
        """Count what became of a change."""
        self.conversations_created += incoming.conversation is Result.CREATED
        self.conversations_updated += incoming.conversation in (Result.UPDATED, Result.DRESSED)
        if incoming.change.message is not None:
            self.messages_created += incoming.message is Result.CREATED
            self.messages_updated += incoming.message is Result.UPDATED
            self.messages_skipped += incoming.message is not Result.CREATED

    @contextlib.contextmanager
    def sparing(self, item: Json) -> Iterator[None]:
        """Keeps going after an unexpected error in one conversation: it stands in `errors`, and in
        the log, and must not end the sync of all others.
        """
        try:
            yield
        except OmniError:
            raise
        except Exception as error:
            _logger.exception(
                "conversation cannot be read",
                integration_id=self.integration_id,
                conversation=item.get("id"),
            )
            self.fail(f"conversation {item.get('id')}: {type(error).__name__}")

    def fail(self, problem: Text) -> None:
        """Note what went wrong; the first ones are kept."""
        self.error_count += 1
        if len(self.errors) < _MAX_ERRORS:
            self.errors.append(problem)
