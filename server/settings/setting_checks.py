"""What contradicts what in the settings, and what a serving process needs. Each check raises
ConfigurationError with a sentence that names the variable.
"""

from dataclasses import fields
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from server.core.addresses import public_url_problem
from server.errors import ConfigurationError
from server.settings.setting_bounds import ANY_NUMBER, BOUNDS

if TYPE_CHECKING:
    from server.settings import Settings

JWT_SECRET_MIN_BYTES = 32  # HS256: RFC 7518 section 3.2 wants a key as long as the hash

# what is sealed with it can be guessed at offline, by whoever has a backup
SECRET_KEY_MIN_BYTES = 32

_OPERATION_TOKEN_MIN_BYTES = 16

_MAKE_A_KEY = 'Make one with: python3 -c "import secrets; print(secrets.token_hex(32))"'


def check_serving(settings: "Settings", workers: int) -> None:
    """What only a serving process needs. Raises ConfigurationError."""
    has_public_keys = bool(settings.jwt_public_key_path or settings.jwt_jwks_path)
    if len(settings.jwt_secret.encode()) < JWT_SECRET_MIN_BYTES and not (
        has_public_keys and not settings.jwt_secret
    ):
        raise ConfigurationError(
            f"JWT_SECRET must be at least {JWT_SECRET_MIN_BYTES} bytes long; "
            f'make one with: python3 -c "import secrets; print(secrets.token_hex(32))"'
        )
    _check_secret_key(settings)
    if workers > 1 and settings.is_sqlite:
        raise ConfigurationError(
            "SQLite serves one process; set DATABASE_URL to a MySQL or MariaDB, or use --workers 1"
        )
    if workers > 1 and settings.is_memory_bus:
        raise ConfigurationError(
            "The bus memory:// serves one process; set BROADCAST_URL to a Redis, or use --workers 1"
        )


def _check_secret_key(settings: "Settings") -> None:
    if not settings.secret_key and not settings.store_tokens_unencrypted:
        raise ConfigurationError(
            "SECRET_KEY is not set: access tokens of Chatwoot would stand in the database as "
            f"they are. {_MAKE_A_KEY}, then run omni-inbox db upgrade; or set "
            "STORE_TOKENS_UNENCRYPTED=true if that is what you want"
        )
    if settings.secret_key and len(settings.secret_key.encode()) < SECRET_KEY_MIN_BYTES:
        raise ConfigurationError(
            f"SECRET_KEY must be at least {SECRET_KEY_MIN_BYTES} bytes long. {_MAKE_A_KEY}; if "
            "the short one is in use, set it as SECRET_KEY_PREVIOUS and run omni-inbox db "
            "upgrade"
        )


def check_settings(settings: "Settings") -> None:
    """Raises ConfigurationError for values that are wrong, alone or together."""
    _check_numbers(settings)
    _check_secrets(settings)
    _check_address("DATABASE_URL", settings.database_url)
    _check_address("BROADCAST_URL", settings.broadcast_url)
    scheme = settings.database_url.split(":", 1)[0].split("+")[0]
    if scheme not in ("sqlite", "mysql", "mariadb"):
        raise ConfigurationError(
            f"DATABASE_URL must begin with sqlite:/// or mysql://, not {scheme}:"
        )
    if urlsplit(settings.broadcast_url).scheme not in ("memory", "redis", "rediss"):
        raise ConfigurationError("BROADCAST_URL must be memory:// or redis://host:port/0")
    if settings.public_url and (problem := public_url_problem(settings.public_url)) is not None:
        raise ConfigurationError(f"PUBLIC_URL {problem}")
    if settings.tunnel_url and urlsplit(settings.tunnel_url).scheme not in ("http", "https"):
        raise ConfigurationError("TUNNEL_URL must begin with http:// or https://")
    if settings.outgoing_proxy and not _is_proxy(settings.outgoing_proxy):
        raise ConfigurationError("OUTGOING_PROXY must be http://host:port or https://host:port")
    if (
        wrong := next(
            (host for host in sorted(settings.private_hosts) if set(host) & set("/@*? ")), None
        )
    ) is not None:
        raise ConfigurationError(f"CHATWOOT_PRIVATE_HOSTS holds hosts, or host:port, not {wrong!r}")
    if settings.socket_silence_seconds <= settings.ping_seconds:
        raise ConfigurationError(
            "SOCKET_SILENCE_SECONDS must be larger than PING_SECONDS, or every socket is cut"
        )
    if settings.reply_certain_seconds < settings.chatwoot_timeout_seconds:
        raise ConfigurationError(
            "REPLY_CERTAIN_SECONDS must not be below CHATWOOT_TIMEOUT_SECONDS, or a reply "
            "might be sent twice"
        )
    if settings.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigurationError("LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR")


def _check_secrets(settings: "Settings") -> None:
    if settings.secret_key_previous and not settings.secret_key:
        raise ConfigurationError(
            "SECRET_KEY_PREVIOUS is for keys before SECRET_KEY: set SECRET_KEY as well"
        )
    if (
        settings.jwt_secret_previous
        and len(settings.jwt_secret_previous.encode()) < JWT_SECRET_MIN_BYTES
    ):
        raise ConfigurationError(
            f"JWT_SECRET_PREVIOUS must be at least {JWT_SECRET_MIN_BYTES} bytes long, as JWT_SECRET"
        )
    if 0 < len(settings.operation_token.encode()) < _OPERATION_TOKEN_MIN_BYTES:
        raise ConfigurationError(
            f"OPERATION_TOKEN must be at least {_OPERATION_TOKEN_MIN_BYTES} bytes long"
        )


def _check_numbers(settings: "Settings") -> None:
    """Not a number, and infinity, are within no bounds."""
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            least, most = BOUNDS.get(setting.name, ANY_NUMBER)
            if not least <= value <= most:
                raise ConfigurationError(
                    f"{setting.name.upper()} must be between {least:,.16g} and {most:,.16g}, "
                    f"not {value}"
                )


def _check_address(name: str, url: str) -> None:
    """A user's name or password with a sign that means something in an address ends it there.
    Nothing of it may be shown.
    """
    try:
        parts = urlsplit(url)
        is_cut = (
            bool(parts.netloc)
            and "@" not in parts.netloc
            and "@" in parts.path + parts.query + parts.fragment
        )
        is_cut |= parts.port == -1  # asked for, as it raises ValueError for what is no port
    except ValueError:
        is_cut = True
    if is_cut:
        raise ConfigurationError(
            f"{name} cannot be read as an address: signs in the user's name or password must be "
            "escaped "
            "(# as %23, / as %2F, ? as %3F, @ as %40, : as %3A, [ as %5B, % as %25)"
        ) from None


def _is_proxy(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
