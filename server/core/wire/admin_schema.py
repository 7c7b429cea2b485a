"""What the REST calls of administrators accept and return; those of all agents: `rest_schema`."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from server.core.wire.rest_schema import Number, Role, Secret
from server.core.wire.socket_schema import Moment


class NewIntegrationBody(Struct, rename="camel", omit_defaults=True):
    """A Chatwoot inbox to connect. `acceptUnproved`: keep it also when Chatwoot cannot be asked
    now.
    """

    account_id: Number
    inbox_id: Number
    base_url: Annotated[str, Meta(max_length=500, examples=["https://chat.example.com"])]
    access_token: Secret
    webhook_secret: Secret | None = None
    webhook_mode: Literal["live", "local"] = "live"
    unsigned_webhooks: Literal["refused", "keyed"] = "refused"
    accept_unproved: bool = False


class IntegrationChange(Struct, rename="camel"):
    """What is left out stays as it is: so nothing here has a default that a generated client could
    fill in.
    """

    is_active: bool | UnsetType = UNSET
    is_webhook_active: bool | UnsetType = UNSET
    is_socket_active: bool | UnsetType = UNSET
    webhook_mode: Literal["live", "local"] | UnsetType = UNSET
    access_token: Secret | UnsetType = UNSET
    webhook_secret: Secret | UnsetType = UNSET
    unsigned_webhooks: Literal["refused", "keyed"] | UnsetType = UNSET
    end_previous_secret: bool | UnsetType = UNSET
    refused_own_tokens: Literal["fail", "fallback"] | UnsetType = UNSET
    base_url: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    inbox_id: Number | UnsetType = UNSET


class IntegrationView(Struct, rename="camel"):
    """Never with a token or a secret; where unsigned webhooks come `keyed`, the address holds the
    key that lets them in. `refusedOwnTokens`: whether a reply fails whose agent's own token
    Chatwoot refuses, or goes out under the integration's name (`fallback`).
    """

    id: int
    account_id: int | None
    inbox_id: int | None
    inbox_name: str | None
    base_url: str
    is_active: bool
    is_webhook_active: bool
    is_socket_active: bool
    webhook_mode: Literal["live", "local"]
    webhook_url: str
    is_proved: bool
    is_receiving: bool
    is_signed: bool
    unsigned_webhooks: Literal["refused", "keyed", "accepted"]
    refused_own_tokens: Literal["fail", "fallback"]
    previous_secret_ends_at: Moment | None
    last_webhook_at: Moment | None
    reconciled_at: Moment | None
    repaired_count: int
    problem: str | None


class CheckAnswer(Struct, rename="camel"):
    """What a check of an integration found; `is_well`: nothing failed."""

    is_well: bool
    findings: list[dict[str, str]]


class SyncRunView(Struct, rename="camel"):
    """How far a full sync is."""

    state: Literal["asked", "running", "stopping", "stopped", "done", "failed"]
    started_at: Moment | None
    updated_at: Moment
    total: int | None
    conversations: int
    messages: int
    created: int
    per_second: float | None
    seconds_left: int | None
    problem: str | None


class Person(Struct, rename="camel"):
    """An agent as administrators see them."""

    id: int
    name: str
    email: str | None
    role: Role
    is_active: bool


class PersonChange(Struct, rename="camel"):
    """What is left out stays as it is."""

    is_active: bool | UnsetType = UNSET
    role: Role | UnsetType = UNSET


class NewInvitation(Struct, omit_defaults=True):
    """Whom a link is made for."""

    email: Annotated[str, Meta(max_length=255, examples=["rahim@example.com"])]
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    role: Role = "agent"


class InvitationView(Struct, rename="camel"):
    """The link, which is shown this once."""

    link: str
    expires_at: Moment


class OpenInvitation(Struct, rename="camel"):
    """`invited_by` is the number of the agent who made it; null: a command on the server."""

    id: str
    email: str
    name: str
    role: Role
    invited_by: int | None
    expires_at: Moment


class DeliveryView(Struct, rename="camel"):
    """A delivery of Chatwoot's without its body."""

    id: int
    received_at: Moment
    finished_at: Moment | None
    state: Literal["received", "done", "ignored", "dead"]
    reason: str | None
    integration_id: int | None
    attempts: int


class WholeDelivery(DeliveryView, kw_only=True):
    """A delivery with its body as text; null where it has none."""

    body: str | None


class Trace(Struct):
    """What is known of one message: its events, its deliveries, and all steps in the order in which
    they happened.
    """

    message: dict[str, Any]
    events: list[int]
    deliveries: list[int]
    steps: list[dict[str, str]]


class ErasedView(Struct):
    """How many rows were erased."""

    conversations: int
    messages: int
    deliveries: int


class StatusView(Struct, rename="camel"):
    """The company's status, as its page shows it."""

    now: Moment
    agents_online: int
    backlog: dict[str, int | None]
    repaired: int
    losses: dict[str, float | None]
    parts: list[dict[str, Any]]
    integrations: list[dict[str, Any]]
    plots: dict[str, Any]


class ActView(Struct, rename="camel"):
    """A line of the audit log."""

    id: int
    at: Moment
    agent_id: int | None
    actor: str
    act: str
    target: str | None
    detail: dict[str, Any] | None
    address: str | None
    client: str | None


class Policy(Struct, rename="camel"):
    """What the company demands of its agents."""

    requires_second_factor: bool
