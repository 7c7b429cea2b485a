"""What a search finds, as conditions of SQL on `social_conversations c` and `social_messages m`.

What we write is found in the form that is searched. What another program writes into the CRM's
tables has none until it is filled in, and none that follows its later changes: there the text
itself counts as well, as the database compares it.
"""

from server.core.state.search_text import phone_digits, search_form

_NAMES = "c.omni_search_text LIKE :q ESCAPE '!' OR c.external_user_name LIKE :raw ESCAPE '!'"
_PHONE = " OR c.omni_search_text LIKE :digits ESCAPE '!'"
_TEXT = (
    "m.omni_search_text LIKE :q ESCAPE '!' OR ((m.omni_search_text IS NULL "
    "OR m.omni_chatwoot_message_id IS NULL) AND m.content LIKE :raw ESCAPE '!')"
)
_ANY_TEXT = f"EXISTS (SELECT 1 FROM social_messages m WHERE m.conversation_id = c.id AND ({_TEXT}))"


def conversations_with(q: str) -> tuple[str, dict[str, object]]:
    """Return a condition, and its values, on `c`: the typed text is in the customer's name or
    numbers, or in a message.
    """
    names, values = _names(q)
    return f"({names} OR {_ANY_TEXT})", values


def messages_with(q: str) -> tuple[str, dict[str, object]]:
    """The same on `c` and its messages `m`: each message that has it, and all of a customer who is
    found by it.
    """
    names, values = _names(q)
    return f"({names} OR {_TEXT})", values


def _names(q: str) -> tuple[str, dict[str, object]]:
    raw, form, digits = _pattern(q), search_form(q), phone_digits(q)
    values: dict[str, object] = {"q": _pattern(form) if form else raw, "raw": raw}
    if digits is None:
        return _NAMES, values
    return f"{_NAMES}{_PHONE}", values | {"digits": _pattern(digits)}


def _pattern(text: str) -> str:
    """The text anywhere, with nothing in it that LIKE would take for a sign of its own."""
    return "%" + "".join(f"!{letter}" if letter in "!%_" else letter for letter in text) + "%"
