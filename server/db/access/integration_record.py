"""One Chatwoot inbox of a company, as a row holds it."""

import msgspec

from server.core.identifiers import parse_digits
from server.core.times import wall_now_us
from server.db.access.vault import Vault
from server.db.engine.driver_adapters import Row
from server.db.engine.row_mapper import RowMapper
from server.errors import ConfigurationError
from server.problems import Text, decode

# `proved_us` of a row that is older than proofs: trusted until Chatwoot has been asked
GRANDFATHERED = 1


# the same, proved since: it stays before all that were proved later, whoever has the same numbers
FOUNDER = 2


class Integration(msgspec.Struct, frozen=True):
    """One Chatwoot inbox of a company; token, secrets and key in the clear, never to be logged."""

    id: int
    company_id: int
    account_id: int | None
    inbox_id: int | None
    base_url: str
    access_token: str
    is_active: bool
    is_webhook_active: bool
    webhook_secret: str | None
    previous_webhook_secret: str | None
    seen_us: int = 0  # when its webhooks came last, as all processes know it
    walked_us: int = 0  # when reconcile began its last round
    repaired_us: int = 0  # when the newest of what reconcile repaired had happened
    repaired_count: int = 0
    walk_problem: Text | None = None  # why reconcile could not ask Chatwoot
    # when Chatwoot showed this inbox to the access token; 0: not yet, and nothing is received
    proved_us: int = 0
    # refused; keyed: with the key in the address; accepted: at the plain address, too
    unsigned: str = "refused"
    webhook_key: str | None = None
    previous_until_us: int = 0  # 0: no end was set yet
    is_socket_active: bool = True
    inbox_name: str | None = None  # as Chatwoot had it last; of one for all inboxes: None
    inbox_addresses: str | None = None  # where mail to it goes, with commas
    token_user_id: int | None = None  # the token's owner at Chatwoot
    chatwoot_problem: Text | None = None  # what Chatwoot lacks or refuses, as it was seen last
    reissued_us: int = 0  # when Chatwoot last gave out a number again
    refused_own_tokens: str = "fail"  # fail, fallback: of replies whose agent's token is refused
    problem: Text | None = None  # why its secrets cannot be read; no column

    @property
    def is_proved(self) -> bool:
        """Whether Chatwoot has confirmed that the account and inbox are the company's."""
        return self.proved_us > 0

    @property
    def address_key(self) -> str | None:
        """What the webhook's address must hold."""
        return self.webhook_key if self.unsigned == "keyed" else None

    @property
    def has_secret(self) -> bool:
        """Whether webhooks must be signed, also when the only secret that is kept has ended."""
        return bool(self.webhook_secret or self.previous_webhook_secret)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Those that count now."""
        return self.secrets_at(wall_now_us())

    def secrets_at(self, received_us: int) -> tuple[str, ...]:
        """Those that count for what was received at that moment."""
        has_ended = 0 < self.previous_until_us < received_us
        found = (self.webhook_secret, None if has_ended else self.previous_webhook_secret)
        return tuple(secret for secret in found if secret)


def _number(text: str | int | None) -> int | None:
    return None if text is None else parse_digits(str(text))


def _is_on(value: object) -> bool:
    """Older rows may hold no value: the column's default counts."""
    return value is None or bool(value)


# secrets as they are stored, until `integration_of` opens them
_SEALED = RowMapper(
    Integration,
    {
        "id": "id",
        "company_id": "company_id",
        "account_id": "account_id",
        "inbox_id": "page_id",
        "base_url": "base_url",
        "access_token": "access_token",
        "is_active": "is_active",
        "is_webhook_active": "is_webhook_active",
        "webhook_secret": "omni_webhook_secret",
        "previous_webhook_secret": "omni_previous_webhook_secret",
        "seen_us": "omni_webhook_seen_at",
        "walked_us": "omni_walked_at",
        "repaired_us": "omni_repaired_at",
        "repaired_count": "omni_repaired_count",
        "walk_problem": "omni_walk_problem",
        "proved_us": "omni_proved_at",
        "unsigned": "omni_unsigned_webhooks",
        "webhook_key": "omni_webhook_key",
        "previous_until_us": "omni_previous_secret_until",
        "is_socket_active": "omni_is_socket_active",
        "inbox_name": "omni_inbox_name",
        "inbox_addresses": "omni_inbox_addresses",
        "token_user_id": "omni_token_user_id",
        "chatwoot_problem": "omni_chatwoot_problem",
        "reissued_us": "omni_reissued_at",
        "refused_own_tokens": "omni_refused_own_tokens",
    },
    {
        "account_id": _number,
        "inbox_id": _number,
        "base_url": lambda url: url.rstrip("/"),
        "is_active": _is_on,
        "is_webhook_active": _is_on,
        "is_socket_active": _is_on,
        "walk_problem": decode,
        "chatwoot_problem": decode,
    },
    {
        "base_url": "",
        "seen_us": 0,
        "walked_us": 0,
        "repaired_us": 0,
        "repaired_count": 0,
        "proved_us": 0,
        "unsigned": "refused",
        "previous_until_us": 0,
        "reissued_us": 0,
        "refused_own_tokens": "fail",
    },
)
INTEGRATION_COLUMNS = _SEALED.text


def integration_of(row: Row, vault: Vault) -> Integration:
    """From a row that begins with `INTEGRATION_COLUMNS`; what cannot be opened becomes its
    `problem`.
    """
    sealed = _SEALED.read(row)
    problem = None
    try:
        token, secret, previous, key = (
            vault.open(stored)
            for stored in (
                sealed.access_token,
                sealed.webhook_secret,
                sealed.previous_webhook_secret,
                sealed.webhook_key,
            )
        )
    except ConfigurationError as error:
        token = secret = previous = key = None
        problem = error.problem
    return msgspec.structs.replace(
        sealed,
        access_token=token or "",
        webhook_secret=secret,
        previous_webhook_secret=previous,
        webhook_key=key,
        problem=problem,
    )
