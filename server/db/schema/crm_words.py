"""Which words of a CRM's columns mean which status and which sender, and which of them we write.

A row is shown by the same expression by which it is found and counted, so that the database's
collation decides once: `CLOSED`, `closed ` and `Resolved` are closed, `Pending` and NULL are open.
"""

import re
from collections.abc import Sequence

import msgspec

OPEN, CLOSED = "Open", "Closed"
_ARE_CLOSED = ("closed", "resolved")
IS_CLOSED = "LOWER(TRIM({})) IN ('closed', 'resolved')"
SHOWN_STATUS = f"CASE WHEN {IS_CLOSED.format('c.status')} THEN '{CLOSED}' ELSE '{OPEN}' END"
# whoever is not the customer is on the company's side: `AGENT`, `bot`, NULL
IS_CUSTOMER = "LOWER(TRIM({})) = 'customer'"
IS_AGENT = f"NOT COALESCE({IS_CUSTOMER}, FALSE)"
SHOWN_SENDER = f"CASE WHEN {IS_CUSTOMER.format('m.sender_type')} THEN 'customer' ELSE 'agent' END"
_PLAIN = re.compile("[A-Za-z]+")


class StatusWords(msgspec.Struct, frozen=True):
    """The words of `social_conversations.status`. `listed`: all that an ENUM has; empty: the column
    is a text. `open`, `closed`: what we write.
    """

    open: str = OPEN
    closed: str = CLOSED
    listed: tuple[str, ...] = (OPEN, CLOSED)
    is_nullable: bool = False

    def written(self, status: str) -> str:
        """Return the word that we write for a status."""
        return self.closed if status == CLOSED else self.open

    def conditions(self, status: str) -> tuple[str, list[str]]:
        """Conditions on `c` of which a row meets one at most: (the usual word, which is one place
        of the index; ranges of it in which whatever else is shown as this status is).
        """
        is_open, usual = status == OPEN, f"c.status = {_literal(self.written(status))}"
        if not self.listed:
            sign = "NOT " if is_open else ""
            is_so = f"{sign}COALESCE({IS_CLOSED.format('c.status')}, FALSE)"
            # the letters are of one case, so this is their order
            low, high = _literal(self.closed), _literal(self.open)
            places = [
                f"c.status < {low}",
                f"c.status > {low} AND c.status < {high}",
                f"c.status > {high}",
            ]
            rest = [f"{place} AND {is_so}" for place in places]
        else:
            others = [
                _literal(word)
                for word in self.listed
                if shown_status(word) == status and word != self.written(status)
            ]
            if is_open:  # what a lax server stores for a word that is not in the list
                others.append("''")
            rest = [f"c.status IN ({', '.join(others)})"] if others else []
        return usual, [*rest, *(["c.status IS NULL"] if is_open and self.is_nullable else [])]


def status_words(column_type: str, default: str, *, is_nullable: bool) -> StatusWords:
    """From the column's definition; nothing known of it is as ours."""
    listed = tuple(word.replace("''", "'") for word in re.findall(r"'((?:[^']|'')*)'", column_type))
    if not listed:
        # MariaDB says NULL where there is no default
        word = "" if default.upper() == "NULL" else default.strip("'")
        spelled = str.upper if word.isupper() else str.lower if word.islower() else str
        return StatusWords(spelled(OPEN), spelled(CLOSED), (), is_nullable)
    return StatusWords(
        _best(listed, (OPEN.lower(),)) or OPEN,
        _best(listed, _ARE_CLOSED) or CLOSED,
        listed,
        is_nullable,
    )


def shown_status(word: str) -> str:
    """Of a word in an ENUM."""
    return CLOSED if word.strip(" ").lower() in _ARE_CLOSED else OPEN


def _best(listed: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((one for word in wanted for one in listed if one.strip().lower() == word), None)


def _literal(word: str) -> str:
    # as bytes: a word of the CRM's may hold whatever means something in a statement
    return f"'{word}'" if _PLAIN.fullmatch(word) else f"_utf8mb4 x'{word.encode().hex()}'"
