"""The dict that forgets its oldest entries."""

from server.core.bounded_dict import BoundedDict


def test_the_oldest_entries_are_dropped() -> None:
    """By the order they were first set in; what is moved to the end stays longer."""
    known: BoundedDict[int, str] = BoundedDict(3)
    for number in range(5):
        known[number] = str(number)
    assert dict(known) == {2: "2", 3: "3", 4: "4"}
    known[2] = "again"
    known[5] = "5"
    assert dict(known) == {3: "3", 4: "4", 5: "5"}
    known.move_to_end(3)
    known[6] = "6"
    assert list(known) == [5, 3, 6]
