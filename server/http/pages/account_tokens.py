"""An agent's own access tokens of Chatwoot on the page of their account, by Chatwoot account: one
token is good for all its inboxes.
"""

from collections.abc import Iterable

import msgspec

from server.db.access.audit_log import Actor
from server.errors import NotFound
from server.http.pages.page_shell import Form
from server.integrations.own_token_connections import OwnConnection, OwnTokenConnections

ACTS = ("connect", "check", "remove")


class AccountTokens(msgspec.Struct, frozen=True):
    """A Chatwoot account that integrations of the company connect, and the agent's token for each
    of its inboxes.
    """

    base_url: str
    account_id: int | None
    connections: list[OwnConnection]

    @property
    def place(self) -> int:
        """The integration that the account's forms name: one with a token where there is one."""
        connected = [one for one in self.connections if one.own is not None]
        return (connected or self.connections)[0].integration.id

    @property
    def is_connected(self) -> bool:
        """Whether there is a token for any of its inboxes."""
        return any(one.own is not None for one in self.connections)


def by_account(connections: Iterable[OwnConnection]) -> list[AccountTokens]:
    """Group the company's integrations by their Chatwoot account, in the order they come in."""
    found: dict[tuple[str, int | None], AccountTokens] = {}
    for one in connections:
        key = (one.integration.base_url, one.integration.account_id)
        found.setdefault(key, AccountTokens(*key, [])).connections.append(one)
    return list(found.values())


async def carry_out(
    tokens: OwnTokenConnections, actor: Actor, act: str, integration_id: int, form: Form
) -> None:
    """Do what a form asks for. Raises NotFound for an act that there is not, and what the act
    raises.
    """
    if act == "connect":
        await tokens.connect(actor, integration_id, form.get("access_token", ""))
    elif act == "check":
        await tokens.check(actor, integration_id)
    elif act == "remove":
        await tokens.remove(actor, integration_id)
    else:
        raise NotFound
