"""From the counts of all processes and the logs read afterwards to the verdict: lost, doubled,
disordered, foreign.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec

from server.lab.load.counters import FAULTS, Counters
from server.lab.load.log_audit import Log


class RunRecord(msgspec.Struct):
    """`written`: numbers of customers' messages by company. `accepted`: of replies that were
    answered 201. `at_customer`: how often a reply came to Chatwoot. `seen`: by company and seq, the
    numbers agents saw. `levels`: by company (agents, live, least seq).
    """

    written: dict[int, list[int]]
    accepted: dict[int, list[int]]
    at_customer: dict[int, int]
    seen: list[dict[int, dict[int, int]]]
    levels: dict[int, tuple[int, int, int]]
    open_replies: int


class Verdict(msgspec.Struct):
    """Clean when every invariant is 0 and nothing is left unfinished."""

    invariants: dict[str, int]
    unfinished: list[str]
    notes: list[str]

    @property
    def is_clean(self) -> bool:
        """Whether no invariant was violated and nothing is left unfinished."""
        return not any(self.invariants.values()) and not self.unfinished


def judge(counters: Counters, record: RunRecord, logs: Mapping[int, Log]) -> Verdict:
    """Compare what was written with what agents saw and the logs hold; `counters`: of all workers
    together.
    """
    counts: Counter[str] = Counter(counters.faults)
    notes = list(counters.examples)
    for company_id, numbers in (
        record.written | {c: [] for c in logs if c not in record.written}
    ).items():
        log = logs.get(company_id, Log(0, {}, Counter()))
        counts.update(log.problems)
        _judge_messages(
            counts, notes, company_id, [*numbers, *record.accepted.get(company_id, [])], log
        )
    for seen in record.seen:
        for company_id, by_seq in seen.items():
            known = logs[company_id].numbers if company_id in logs else {}
            counts["disordered"] += sum(known.get(seq) != number for seq, number in by_seq.items())
    for number in (number for numbers in record.accepted.values() for number in numbers):
        times = record.at_customer.get(number, 0)
        counts["lost"] += times == 0
        counts["doubled"] += max(0, times - 1)
    unfinished = _unfinished(counts, record, logs)
    return Verdict({name: counts[name] for name in FAULTS}, unfinished, notes[:10])


def _judge_messages(
    counts: Counter[str], notes: list[str], company_id: int, wanted: list[int], log: Log
) -> None:
    found = Counter(log.numbers.values())
    missing = [number for number in wanted if found[number] == 0]
    doubled = sum(times - 1 for times in found.values() if times > 1)
    counts["lost"] += len(missing)
    counts["doubled"] += doubled
    if missing:
        notes.append(
            f"company {company_id}: {len(missing)} messages are not in its log, first #{missing[0]}"
        )
    if doubled:
        notes.append(f"company {company_id}: {doubled} messages stand in its log twice")


def _unfinished(counts: Counter[str], record: RunRecord, logs: Mapping[int, Log]) -> list[str]:
    found = []
    if away := sum(agents - live for agents, live, _ in record.levels.values()):
        found.append(f"{away} agents were not connected at the end")
    behind = 0
    for company_id, (agents, live, least) in record.levels.items():
        head = logs[company_id].head if company_id in logs else 0
        if agents == live and least < head:
            behind += 1
            counts["lost"] += head - least
    if behind:
        found.append(f"in {behind} companies an agent had not come to the head of the log")
    if record.open_replies:
        found.append(f"{record.open_replies} replies were never answered")
    return found
