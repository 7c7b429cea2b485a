"""From the counts of all processes and the logs read afterwards to the verdict: lost, doubled,
disordered, foreign.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec

from server.lab.load.log_audit import Log
from server.lab.load.tally import FAULTS, Tally


class Evidence(msgspec.Struct):
    """`written`: numbers of customers' messages by company. `taken`: of replies that were answered
    201. `at_customer`: how often a reply came to Chatwoot. `seen`: by company and seq, the numbers
    agents saw. `levels`: by company (agents, live, least seq).
    """

    written: dict[int, list[int]]
    taken: dict[int, list[int]]
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
        return not any(self.invariants.values()) and not self.unfinished


def judge(tally: Tally, evidence: Evidence, logs: Mapping[int, Log]) -> Verdict:
    """`tally`: of all processes together."""
    counts: Counter[str] = Counter(tally.faults)
    notes = list(tally.examples)
    for company_id, numbers in (
        evidence.written | {c: [] for c in logs if c not in evidence.written}
    ).items():
        log = logs.get(company_id, Log(0, {}, Counter()))
        counts.update(log.problems)
        _judge_messages(
            counts, notes, company_id, [*numbers, *evidence.taken.get(company_id, [])], log
        )
    for seen in evidence.seen:
        for company_id, by_seq in seen.items():
            known = logs[company_id].numbers if company_id in logs else {}
            counts["disordered"] += sum(known.get(seq) != number for seq, number in by_seq.items())
    for number in (number for numbers in evidence.taken.values() for number in numbers):
        times = evidence.at_customer.get(number, 0)
        counts["lost"] += times == 0
        counts["doubled"] += max(0, times - 1)
    unfinished = _unfinished(counts, evidence, logs)
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


def _unfinished(counts: Counter[str], evidence: Evidence, logs: Mapping[int, Log]) -> list[str]:
    found = []
    if away := sum(agents - live for agents, live, _ in evidence.levels.values()):
        found.append(f"{away} agents were not connected at the end")
    behind = 0
    for company_id, (agents, live, least) in evidence.levels.items():
        head = logs[company_id].head if company_id in logs else 0
        if agents == live and least < head:
            behind += 1
            counts["lost"] += head - least
    if behind:
        found.append(f"in {behind} companies an agent had not come to the head of the log")
    if evidence.open_replies:
        found.append(f"{evidence.open_replies} replies were never answered")
    return found
