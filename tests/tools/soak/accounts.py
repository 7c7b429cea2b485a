"""What came of a soak: rows for people, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.tools.soak.meter import Journey

if TYPE_CHECKING:
    from tests.tools.soak.run import Soak

# no company waits longer because of another company or of a process that is dead
STANDSTILL_SECONDS = 15.0
NAMED_SECONDS = 5.0  # a standstill of this length is named by `/readyz`
# in which a monitor that asks each second has heard it, also on a busy machine
_NAMED_MARGIN_SECONDS = 3.0
_MEMORY_MB = 200  # a process that has grown by more than this is not flat
_DESCRIPTORS = 100  # of a process, agents' sockets included


@dataclass
class Accounts:
    """`rows` in the order to be shown; `wrong` is empty when all promises were kept."""

    rows: list[tuple[str, object]]
    wrong: list[str]


def account(soak: Soak) -> Accounts:
    """Judge what the soak has seen. Blocks: it reads the database."""
    times = _wrong_times(soak) if soak.plan.judges_times else []
    wrong = [*soak.wrong, *times, *_wrong_messages(soak), *_wrong_weights(soak)]
    return Accounts(
        [*_fault_rows(soak), *_message_rows(soak), *_time_rows(soak), *_end_rows(soak)], wrong
    )


def excerpt(texts: Iterable[str], most: int = 3) -> str:
    """Some of them, cut short."""
    return ", ".join(repr(text[:40]) for text in list(texts)[:most])


def _at_customer(soak: Soak) -> list[str]:
    return [
        text
        for message in soak.site.sim.messages.values()
        if (text := message.content or "").startswith("reply")
    ]


def _wrong_times(soak: Soak) -> list[str]:
    meter, found = soak.site.meter, list[str]()
    journeys = list(meter.messages.values())
    for what, kind in (("messages", journeys), ("replies", meter.replies)):
        late = meter.late(kind, STANDSTILL_SECONDS)
        if late:
            found.append(
                f"{len(late)} {what} stood still for more than {STANDSTILL_SECONDS:g} s: "
                f"{_described(soak, late)}"
            )
    unnamed = soak.readiness.unnamed(journeys, NAMED_SECONDS, _NAMED_MARGIN_SECONDS)
    if unnamed:
        longest = sorted(unnamed, key=lambda one: one.seconds, reverse=True)
        found.append(
            f"/readyz did not name {len(unnamed)} standstills: {_described(soak, longest)}"
        )
    if refused := meter.refused_without_reason():
        found.append(f"webhooks were refused though the database was well: {dict(refused)}")
    return found


def _described(soak: Soak, journeys: list[Journey]) -> str:
    return "; ".join(
        f"company {one.company_id}, {one.text[:30]!r}, from second "
        f"{one.start - soak.started:.1f} on for {one.seconds:.1f} s"
        f" ({soak.site.meter.unexcused_seconds(one):.1f} s without a reason)"
        for one in journeys[:3]
    )


def _wrong_messages(soak: Soak) -> list[str]:
    found = [violation for agent in soak.agents for violation in agent.violations][:5]
    seen, expected = _seen(soak)
    if seen != expected:
        found.append(f"agents saw {seen} of {expected} events")
    rows, events = soak.crm_rows(), soak.crm_events()
    if rows != events:
        lost, many = rows - events, events - rows
        found.append(
            f"of the CRM's rows {lost.total()} were not told, {many.total()} twice: "
            f"{excerpt([*lost, *many])}"
        )
    at_customer = _at_customer(soak)
    if sorted(at_customer) != sorted(soak.taken):
        twice = [text for text, count in Counter(at_customer).items() if count > 1]
        lost = Counter(soak.taken) - Counter(at_customer)
        how = f"twice: {excerpt(twice)}; lost: {excerpt(lost)}"
        found.append(
            f"{len(at_customer)} replies at the customer, {len(soak.taken)} written; {how}"
        )
    if resets := _resets(soak):
        found.append(f"told to take a snapshot without need: {dict(resets)}")
    if refused := sum((repliers.refused for repliers in soak.repliers), Counter[str]()):
        found.append(f"replies were refused: {dict(refused)}")
    if given_up := [text for repliers in soak.repliers for text in repliers.given_up]:
        found.append(f"{len(given_up)} replies were never taken: {excerpt(given_up)}")
    dead = soak.site.cluster.states()["dead"]
    if dead > soak.site.broken_rows:
        reasons = soak.site.cluster.sql(
            "SELECT reason, COUNT(*) AS n FROM omni_webhook_deliveries WHERE state = 'dead' "
            "GROUP BY reason"
        )
        found.append(
            f"{dead} deliveries are dead, {soak.site.broken_rows} rows were unreadable: {reasons}"
        )
    return found


def _wrong_weights(soak: Soak) -> list[str]:
    found = []
    for (kb, descriptors), (kb_after, descriptors_after) in zip(*soak.weights, strict=True):
        if kb_after - kb > _MEMORY_MB * 1024:
            found.append(f"a process has grown from {kb // 1024} to {kb_after // 1024} MB")
        if descriptors_after - descriptors > _DESCRIPTORS + len(soak.agents):
            found.append(f"a process held {descriptors} descriptors and holds {descriptors_after}")
    return found


def _seen(soak: Soak) -> tuple[int, int]:
    """Events that agents saw, and should have seen."""
    expected = 0
    for tenant in soak.site.tenants:
        head = soak.site.cluster.head(tenant.id)
        expected += sum(head - agent.first_seq for agent in soak.agents_of(tenant))
    return sum(agent.events for agent in soak.agents), expected


def _resets(soak: Soak) -> Counter[str]:
    return Counter(reason for agent in soak.agents for reason in agent.resets.elements())


def _fault_rows(soak: Soak) -> list[tuple[str, object]]:
    chaos = soak.chaos
    return [
        ("seed", soak.plan.seed),
        *((f"fault: {name}", count) for name, count in sorted(chaos.counts.items())),
        ("faults", chaos.counts.total()),
        ("faults that could not be done", dict(chaos.missed)),
    ]


def _message_rows(soak: Soak) -> list[tuple[str, object]]:
    stored, wanted = soak.site.cluster.stored(), soak.wanted()
    violations = [violation for agent in soak.agents for violation in agent.violations]
    doubled = sum(count - 1 for count in stored.values() if count > 1) + sum(
        "twice" in text for text in violations
    )
    counters = soak.site.sim.webhooks.counters
    seen, expected = _seen(soak)
    return [
        ("companies", len(soak.site.tenants)),
        ("agents", len(soak.agents)),
        ("webhooks sent / acknowledged", f"{counters.sent} / {counters.acknowledged}"),
        ("webhooks dropped / failed", f"{counters.dropped} / {counters.failed}"),
        ("messages at Chatwoot / stored", f"{wanted.total()} / {stored.total()}"),
        ("lost", (wanted - stored).total()),
        (
            "rows of the CRM's own / told once",
            f"{soak.crm_rows().total()} / {sum(n == 1 for n in soak.crm_events().values())}",
        ),
        ("doubled", doubled),
        ("order errors", len(violations)),
        ("events of all agents, expected / seen", f"{expected} / {seen}"),
        ("replies written / at the customer", f"{len(soak.taken)} / {len(_at_customer(soak))}"),
    ]


def _time_rows(soak: Soak) -> list[tuple[str, object]]:
    meter = soak.site.meter
    journeys = list(meter.messages.values())
    long = [one for one in journeys if one.seconds > NAMED_SECONDS + _NAMED_MARGIN_SECONDS]
    unnamed = soak.readiness.unnamed(journeys, NAMED_SECONDS, _NAMED_MARGIN_SECONDS)
    return [
        *(
            (f"longest standstill of company {n}, seconds", round(s, 1))
            for n, s in meter.worst(journeys).items()
        ),
        *(
            (f"longest wait of a reply of company {n}, seconds", round(s, 1))
            for n, s in meter.worst(meter.replies).items()
        ),
        (
            "messages that waited for more than 8 s / not named by /readyz",
            f"{len(long)} / {len(unnamed)}",
        ),
        (
            "webhooks refused, in all / without a reason",
            f"{len(meter.refused)} / {meter.refused_without_reason().total()}",
        ),
        ("longest turn of the harness's own loop, seconds", round(meter.longest_turn_seconds, 2)),
        ("what /readyz said", dict(soak.readiness.problems().most_common(12))),
    ]


def _end_rows(soak: Soak) -> list[tuple[str, object]]:
    before, after = soak.weights
    repaired = soak.site.cluster.sql("SELECT SUM(omni_repaired_count) AS n FROM integrations")[0][
        "n"
    ]
    return [
        ("resets", dict(_resets(soak))),
        ("reconnects", sum(agent.welcomes.total() - 1 for agent in soak.agents)),
        ("repairs by reconcile", int(repaired)),
        ("deliveries by state", dict(soak.site.cluster.states())),
        ("polls", dict(soak.pollers.answers)),
        ("settled after, seconds", round(soak.settled_seconds, 1)),
        (
            "memory MB, start / end",
            f"{[kb // 1024 for kb, _ in before]} / {[kb // 1024 for kb, _ in after]}",
        ),
        (
            "descriptors, start / end",
            f"{[count for _, count in before]} / {[count for _, count in after]}",
        ),
    ]
