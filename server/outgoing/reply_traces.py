"""A reply's trace, where traces are switched on: from the agent's request to Chatwoot's answer, by
whichever attempt it comes about.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from server.chatwoot import ChatwootClient, ChatwootError
from server.chatwoot.answers import JsonObject
from server.core.times import wall_now_us
from server.errors import OmniError
from server.traces import CARRIED, Traces


@contextmanager
def reply_traced(traces: Traces | None, key: str, traceparent: str | None) -> Iterator[None]:
    """Around taking a reply in; `key` is what it will be known by at Chatwoot."""
    if traces is None:
        yield
        return
    span = traces.open(
        "reply", wall_now_us(), {} if traceparent is None else {CARRIED: traceparent}
    )
    traces.keep(key, span.traceparent)
    try:
        yield
    except OmniError as error:
        span.end(wall_now_us(), error.code)
        raise
    span.end(wall_now_us())


class TracedClient(ChatwootClient):
    """Tells of each attempt to send a reply. One that another process took in, or that was taken in
    long ago, belongs to no trace here.
    """

    def __init__(self, traces: Traces, **options: Any) -> None:
        super().__init__(**options)
        self._traces = traces

    async def send_message(
        self,
        display_id: int,
        content: str,
        *,
        client_id: str,
        private: bool = False,
        files: Sequence[tuple[str, bytes, str]] = (),
    ) -> JsonObject:
        began_us, outcome = wall_now_us(), "sent"
        try:
            return await super().send_message(
                display_id, content, client_id=client_id, private=private, files=files
            )
        except ChatwootError as error:
            outcome = error.code
            raise
        finally:
            self._traces.note(
                "send to Chatwoot",
                began_us,
                wall_now_us(),
                [self._traces.kept(client_id)],
                outcome=outcome,
                files=len(files),
            )
