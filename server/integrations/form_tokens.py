"""The access token of a form that is sent back to its author: sealed, and of use in that person's
form alone.
"""

import json

from server.db.access.audit_log import Actor
from server.db.access.vault import Vault


class FormTokens:
    """`has_key`: whether there is a SECRET_KEY to seal with; without one the token must be written
    again.
    """

    def __init__(self, vault: Vault, *, has_key: bool) -> None:
        self._vault = vault
        self._has_key = has_key

    def seal(self, actor: Actor, token: str) -> str:
        """ "" where nothing can be sealed."""
        if not token or not self._has_key:
            return ""
        return self._vault.seal(json.dumps({"formOf": _form_of(actor), "token": token})) or ""

    def open(self, actor: Actor, sealed: str) -> str:
        """ "" for what was not sealed for this person's form: a token out of the database must not
        be sent anywhere by a form.
        """
        opened = self._vault.try_open(sealed) if sealed and self._has_key else None
        try:
            found = json.loads(opened or "{}")
        except ValueError:
            return ""
        is_own = (
            opened != sealed and isinstance(found, dict) and found.get("formOf") == _form_of(actor)
        )
        return str(found["token"]) if is_own else ""


def _form_of(actor: Actor) -> list[int | None]:
    return [actor.company_id, actor.agent_id]
