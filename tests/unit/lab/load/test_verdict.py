"""The verdict sees each kind of damage; a harness that finds everything clean proves nothing."""

from collections import Counter

from server.lab.load.counters import Counters
from server.lab.load.log_audit import Log
from server.lab.load.verdict import RunRecord, Verdict, judge


def record() -> RunRecord:
    """A run in which all went well: messages 1 to 3 and reply 100 in company 7."""
    return RunRecord(
        written={7: [1, 2, 3]},
        accepted={7: [100]},
        at_customer={100: 1},
        seen=[{7: {1: 1, 2: 2}}, {7: {3: 3}}],
        levels={7: (2, 2, 4)},
        open_replies=0,
    )


def logs() -> dict[int, Log]:
    return {7: Log(4, {1: 1, 2: 2, 3: 3, 4: 100}, Counter())}


def invariants(verdict: Verdict) -> dict[str, int]:
    """Those that are not zero."""
    return {name: count for name, count in verdict.invariants.items() if count}


def test_a_run_without_damage_is_clean() -> None:
    """Nothing else is."""
    verdict = judge(Counters(), record(), logs())
    assert verdict.is_clean
    assert verdict.invariants == {"lost": 0, "doubled": 0, "disordered": 0, "foreign": 0}


def test_a_message_that_is_not_in_the_log_is_lost() -> None:
    """However content the agents were."""
    found = logs()
    del found[7].numbers[2]
    assert invariants(judge(Counters(), record(), found))["lost"] == 1


def test_a_company_without_a_log_has_lost_everything() -> None:
    """Its messages are not excused."""
    assert invariants(judge(Counters(), record(), {}))["lost"] == 4


def test_a_message_that_stands_in_the_log_twice_is_doubled() -> None:
    """Under two numbers of the log."""
    found = logs()
    found[7] = Log(5, {**found[7].numbers, 5: 3}, Counter())
    proof = record()
    proof.levels[7] = (2, 2, 5)
    assert invariants(judge(Counters(), proof, found)) == {"doubled": 1}


def test_a_reply_that_came_to_the_customer_twice_is_doubled_and_one_that_never_came_is_lost() -> (
    None
):
    """Counted at Chatwoot."""
    proof = record()
    proof.at_customer = {100: 2}
    assert invariants(judge(Counters(), proof, logs())) == {"doubled": 1}
    proof.at_customer = {}
    assert invariants(judge(Counters(), proof, logs())) == {"lost": 1}


def test_an_agent_who_saw_another_message_under_a_number_was_told_something_wrong() -> None:
    """The log is one and the same for everybody."""
    proof = record()
    proof.seen[0][7][2] = 3
    assert invariants(judge(Counters(), proof, logs())) == {"disordered": 1}


def test_an_agent_behind_the_head_at_the_end_has_lost_the_rest() -> None:
    """And the run is called unfinished."""
    proof = record()
    proof.levels[7] = (2, 2, 3)
    verdict = judge(Counters(), proof, logs())
    assert invariants(verdict) == {"lost": 1}
    assert verdict.unfinished


def test_an_agent_who_is_away_at_the_end_leaves_the_run_unfinished() -> None:
    """Whether it has lost something is not known."""
    proof = record()
    proof.levels[7] = (2, 1, 4)
    verdict = judge(Counters(), proof, logs())
    assert not verdict.is_clean
    assert invariants(verdict) == {}


def test_faults_that_agents_saw_and_problems_of_a_log_count() -> None:
    """From whichever process."""
    counters = Counters()
    counters.add(_with_fault())
    counters.add(_with_fault())
    found = logs()
    found[7].problems["disordered"] = 1
    assert invariants(judge(counters, record(), found)) == {"foreign": 2, "disordered": 1}


def _with_fault() -> dict[str, object]:
    counters = Counters()
    counters.faults["foreign"] += 1
    return counters.snapshot()
