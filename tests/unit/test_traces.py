"""Traces without a server: when they are on, what they need, and what they keep."""

import sys

import pytest

from server.errors import ConfigurationError
from server.message_observer import CARRIED
from server.settings import Settings
from server.trace_observer import TraceObserver
from server.traces import Traces

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Traces:
    """To a collector that is not there; nothing is sent before its time comes."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    return Traces()


@pytest.mark.parametrize(
    ("environment", "is_on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
            False,
        ),
    ],
)
def test_an_address_switches_them_on(environment: dict[str, str], *, is_on: bool) -> None:
    """And nothing else does."""
    assert Settings.from_environment(environment).has_traces is is_on


def test_without_the_packages_the_start_stops_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No traceback of an import."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"not installed .* requirements-otel\.lock"):
        Traces()


def test_what_continues_a_trace_carries_ours(traces: Traces) -> None:
    """The same trace, another parent; what the caller did not sample carries nothing at all."""
    carrier = {CARRIED: SAMPLED, "other": "stays"}
    span = traces.open("webhook", 1, carrier)
    assert carrier == {CARRIED: span.traceparent, "other": "stays"}
    assert span.traceparent is not None
    assert (span.traceparent[:35], span.traceparent == SAMPLED) == (SAMPLED[:35], False)
    carrier = {CARRIED: NOT_SAMPLED}
    assert traces.open("webhook", 1, carrier).traceparent is None
    assert carrier == {}


def test_what_belongs_to_no_trace_is_not_told(traces: Traces) -> None:
    """Else every batch would begin a trace of its own."""
    assert traces.add_span("ingest", 1, 2, [None, None]) is None
    assert traces.add_span("ingest", 1, 2, [None, SAMPLED]) is not None


def test_what_is_kept_for_later_is_bounded(traces: Traces) -> None:
    """The oldest go first; a walk finds the traces of the events it wrote."""
    observer = TraceObserver(traces)
    for seq in range(1, 6_001):
        observer.on_accepted(1, seq, SAMPLED)
    assert traces.kept((1, 1_000)) is None
    assert traces.kept((1, 1_001)) == SAMPLED
