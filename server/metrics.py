"""Every metric's name, once. Labels come from small closed sets; the text form is served at
`/metrics`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
_DELAY_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"omni_inbox_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"omni_inbox_{name}", text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str) -> Histogram:
    return Histogram(f"omni_inbox_{name}", text, labels, registry=REGISTRY, buckets=_DELAY_BUCKETS)


def value_of(gauge: Gauge) -> float:
    """The value of a gauge without labels."""
    [sample] = next(iter(gauge.collect())).samples
    return sample.value


deliveries_received = _counter(
    "deliveries_received_total", "Webhook deliveries by how they were answered", "outcome"
)
deliveries_ingested = _counter(
    "deliveries_ingested_total", "Deliveries by the state ingest left them in", "state"
)
spool_waiting = _gauge("spool_waiting", "Deliveries in the local spool, not yet in the journal")
oldest_delivery_seconds = _gauge(
    "oldest_delivery_seconds",
    "How long the oldest delivery in the journal has waited to be taken in",
)
spool_damaged = _counter(
    "spool_damaged_total", "Times the spool's file turned out damaged, was set aside and begun anew"
)
record_seconds = _histogram(
    "record_seconds", "From receiving a webhook to its being on disk, for the oldest of each commit"
)
ingest_seconds = _histogram("ingest_seconds", "Time of one ingest transaction")
webhook_to_publish_seconds = _histogram(
    "webhook_to_publish_seconds", "From receiving a delivery to handing its frames to the hub"
)
events_appended = _counter("events_appended_total", "Events written to event logs")
crm_rows = _counter(
    "crm_rows_total", "Changes by other programs to the shared tables that became events"
)
retention_failures = _counter(
    "retention_failures_total", "Times something old could not be removed, by what it was", "what"
)
events_delivered = _counter("events_delivered_total", "Events written to sockets")
reply_seconds = _histogram("reply_seconds", "From writing a reply to knowing that Chatwoot has it")
database_seconds = _histogram(
    "database_seconds", "Database calls with the wait for a lane, by kind", "kind"
)
loop_lag_seconds = _histogram(
    "loop_lag_seconds", "How late the event loop comes to what is due, four times a second"
)
database_waiting = _gauge("database_waiting", "Database calls that wait for a lane")
record_waiting = _gauge("record_waiting", "Webhooks that wait for their commit")
sockets_paused = _gauge("sockets_paused", "Sockets whose client does not read at present")
feeds_open = _gauge("feeds_open", "Companies watched by this process")
feed_reads = _counter(
    "feed_reads_total", "Catching up of sockets, by where it was read from", "source"
)
feed_gaps = _counter("feed_gaps_total", "Gaps of a feed, by what filled them", "source")
feed_resets = _counter("feed_resets_total", "Resets told to clients", "reason")
bus_drops = _counter("bus_drops_total", "Bus messages dropped because the local queue was full")
bus_refused = _counter(
    "bus_refused_total", "Bus messages dropped because they were not signed by this installation"
)
bus_reconnects = _counter("bus_reconnects_total", "Times the bus connection was made anew")
bus_up = _gauge("bus_up", "1 while the bus is connected and its canary comes back")
sockets_open = _gauge("sockets_open", "Live sockets of this process")
socket_closes = _counter("socket_closes_total", "Closed sockets by close code", "code")
database_errors = _counter("database_errors_total", "Database calls that failed", "kind")
database_calls = _counter("database_calls_total", "Database calls (a transaction is one)", "kind")
socket_frames = _counter(
    "socket_frames_total", "Frames of Chatwoot's agents' socket, by what became of them", "outcome"
)
sockets_to_chatwoot = _gauge(
    "sockets_to_chatwoot", "Chatwoot accounts whose agents' socket this process hears at present"
)
replies = _counter("replies_total", "Replies by outcome of an attempt", "outcome")
repairs = _counter("repairs_total", "What reconcile found before any webhook told of it", "kind")
webhooks_late = _counter(
    "webhooks_late_total", "Webhooks that came after reconcile had found what they tell"
)
webhooks_lost = _counter(
    "webhooks_lost_total", "Webhooks that did not come in time for what reconcile had found"
)
arrival_delay_seconds = Histogram(
    "omni_inbox_arrival_delay_seconds",
    "From Chatwoot's own moment of a message to its arrival, by what brought it",
    ("source",),
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 45, 90, 180, 600),
)
requests = _counter("http_requests_total", "Answered HTTP requests", "route", "status")
connections_refused = _counter(
    "connections_refused_total", "HTTP connections ended before a whole request had come", "status"
)
task_restarts = _counter(
    "task_restarts_total", "Background services started again after an error", "task"
)
