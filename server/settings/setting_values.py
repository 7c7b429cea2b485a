"""Texts of the environment as values."""

from server.errors import ConfigurationError


def hosts_of(text: str) -> frozenset[str]:
    """Hosts of a list with commas, in small letters. An IPv6 address without brackets gets them."""
    given = (part.strip().lower() for part in text.split(","))
    return frozenset(
        f"[{host}]" if host.count(":") > 1 and host[0] != "[" else host for host in given if host
    )


def convert(name: str, text: str, kind: type) -> object:
    """A text as a value of that kind. Raises ConfigurationError, which names the variable."""
    try:
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[
                text.lower()
            ]
        if kind in (int, float):
            return kind(text)
    except (ValueError, KeyError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise ConfigurationError(f"{name} must be {wanted}, not {text!r}") from None
    return text.upper() if name == "LOG_LEVEL" else text
