"""Traces for OpenTelemetry, where they are switched on: of a webhook until it is written to
sockets, of a reply until Chatwoot has it.

The rooms know a `MessageObserver` alone; where traces are off it does nothing, and nothing of the
library is imported. A trace travels as a `traceparent` (W3C): in a delivery's headers, in a
batch on the bus. What many deliveries share is one span: it continues the first one's trace and is
linked to the others, so that its cost does not grow with their number, and never with the number of
sockets.
"""

import threading
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from server.core.bounded_dict import BoundedDict
from server.errors import ConfigurationError
from server.message_observer import CARRIED

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

_US = 1_000  # OpenTelemetry counts nanoseconds
_MAX_LINKS = 100
_MAX_KNOWN = 5_000  # traces that something later belongs to; beyond that the oldest are cut short
_CLOSE_SECONDS = 3.0  # a collector that does not answer holds up no stop


class OpenSpan:
    """A span that has begun and not ended. `traceparent`: for what belongs to it; None when the
    sampler did not choose it.
    """

    def __init__(self, span: "Span") -> None:
        self._span = span
        self.traceparent = _traceparent(span)

    def end(self, ended_us: int, error: str | None = None) -> None:
        """`error`: the code of what it came to, when it came to nothing."""
        if error is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR, error)
        self._span.end(ended_us * _US)


class Traces:
    """Makes spans and sends them, in a thread of its own, to where the variables OTEL_* say."""

    def __init__(self) -> None:
        """Raises ConfigurationError when the library is not installed."""
        try:
            from opentelemetry import context, trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            remedy = "pip install --require-hashes -r requirements-otel.lock"
            raise ConfigurationError(
                f"Traces need packages that are not installed ({error.name}): {remedy}"
            ) from None
        resource = Resource.create()  # with OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "omni-inbox"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("omni-inbox")
        self._extract = TraceContextTextMapPropagator().extract
        self._trace = trace
        self._empty = context.Context()
        self._known: BoundedDict[object, str] = BoundedDict(_MAX_KNOWN)

    def open(self, name: str, began_us: int, carrier: MutableMapping[str, str]) -> OpenSpan:
        """Something begins, as part of the caller's trace where `carrier` has one. Afterwards it
        carries ours instead.
        """
        context = self._context(carrier.pop(CARRIED, None))
        opened = OpenSpan(
            self._tracer.start_span(
                name, context, self._trace.SpanKind.SERVER, start_time=began_us * _US
            )
        )
        if opened.traceparent is not None:
            carrier[CARRIED] = opened.traceparent
        return opened

    def add_span(
        self,
        name: str,
        began_us: int,
        ended_us: int,
        belongs_to: Iterable[str | None],
        **attributes: Any,
    ) -> str | None:
        """Add the span of something that is over. It continues the first trace of those it belongs
        to, and is linked to the others; there is no span where it belongs to none. Returns the
        traceparent for what belongs to it in its turn.
        """
        contexts = [self._context(text) for text in dict.fromkeys(belongs_to) if text]
        if not contexts:
            return None
        others = [
            self._trace.get_current_span(context).get_span_context()
            for context in contexts[1 : 1 + _MAX_LINKS]
        ]
        links = [self._trace.Link(other) for other in others]
        prefixed = {
            f"omni_inbox.{key}": value for key, value in attributes.items() if value is not None
        }
        span = self._tracer.start_span(
            name, contexts[0], attributes=prefixed, links=links, start_time=began_us * _US
        )
        span.end(ended_us * _US)
        return _traceparent(span)

    def keep(self, key: object, traceparent: str | None) -> None:
        """For something of this process that will belong to it."""
        if traceparent is not None:
            self._known[key] = traceparent

    def kept(self, key: object) -> str | None:
        """The traceparent that was kept for something, if it is still known."""
        return self._known.get(key)

    def close(self) -> None:
        """Send what is waiting; blocks for seconds at most."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(_CLOSE_SECONDS)

    def _context(self, traceparent: str | None) -> "Context":
        """One that cannot be read begins a trace of its own."""
        return self._extract({} if traceparent is None else {CARRIED: traceparent}, self._empty)


def _traceparent(span: "Span") -> str | None:
    context = span.get_span_context()
    if not span.is_recording() and not context.trace_flags.sampled:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
