"""The verdict on a siege: nothing of the victim's was read by others, all its messages arrived
at its agents once and in order, nobody was given what is not theirs, no answer 500, no traceback,
memory and descriptors bounded, both processes alive.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tests.tools.load.attackers import Haul


@dataclass
class Verdict:
    """Of one run; `faults` is empty when all held."""

    entry: str
    messages: int = 0
    median_seconds: float = 0.0
    p99_seconds: float = 0.0
    memory_bytes: int = 0
    descriptors: tuple[int, int] = (0, 0)
    hauls: list[Haul] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def faults_of_attacker(haul: Haul) -> list[str]:
    faults = [f"{haul.name} read the victim's text at {leak}" for leak in haul.leaks[:3]]
    faults += [f"{haul.name} was given {what}" for what in haul.granted[:3]]
    if haul.statuses["500"]:
        faults.append(f"{haul.name} was answered 500, {haul.statuses['500']} times")
    # an attack that does not arrive proves nothing
    return faults if haul.statuses else [f"{haul.name} did nothing"]


def faults_in_delivery(texts: Sequence[str], sent: Collection[str]) -> list[str]:
    """Of what an agent was shown: not a customer's, missing or out of order in its conversation."""
    last, faults = (
        Counter[str](),
        [
            f"an agent was shown what no customer wrote: {text}"
            for text in texts
            if text not in sent
        ],
    )
    for text in texts:
        conversation, _, number = text.partition("-")
        if text in sent and int(number) != last[conversation] + 1:
            faults.append(f"{text} after number {last[conversation]}")
        last[conversation] += 1
    return faults


def as_table(verdicts: Sequence[Verdict]) -> str:
    """Markdown: one table for the victim, one for the attackers."""
    lines = [
        (
            "| entry | messages | at an agent, median | 99 of 100 | memory | descriptors before, "
            "after | verdict |"
        ),
        "| --- " * 7 + "|",
    ]
    for one in verdicts:
        facts = (
            f"{one.messages} | {one.median_seconds * 1e3:.0f} ms | {one.p99_seconds * 1e3:.0f} "
            f"ms | {one.memory_bytes / 1e6:.0f} MB"
        )
        lines.append(
            f"| {one.entry} | {facts} | {one.descriptors[0]}, {one.descriptors[1]} | "
            f"{'; '.join(one.faults) or 'held'} |"
        )
    lines += ["", "| entry | attacker | received | was answered |", "| --- " * 4 + "|"]
    for one in verdicts:
        for haul in one.hauls:
            answers = ", ".join(
                f"{status}: {count:,}" for status, count in haul.statuses.most_common()
            )
            lines.append(
                f"| {one.entry} | {haul.name} | {haul.bytes_received / 1e6:.1f} MB | {answers} |"
            )
    return "\n".join(lines)
