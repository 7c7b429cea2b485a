"""The set-up key: by whom the first administrator may be made, while there is none. Only its hash
is kept.
"""

from server.db.engine.database import Connection

_PURPOSE = "first administrator"


async def is_in_use(connection: Connection) -> bool:
    """Whether there are people or integrations, of any company: then a key in a log would open what
    is others' already, and an administrator is made by a command.
    """
    people, connected = await connection.fetch_each(
        ("SELECT 1 FROM omni_agents LIMIT 1", {}), ("SELECT 1 FROM integrations LIMIT 1", {})
    )
    return bool(people or connected)


async def keep_key(connection: Connection, key_hash: str, now_us: int, silent_us: int) -> bool:
    """Make this key the one that counts, or say that it still is: unless another process said so of
    its own within `silent_us`.

    A process whose clock is wrong, and which is therefore heard in the future, holds nobody back.
    Raises DuplicateRow where two are the first at once.
    """
    values = {"purpose": _PURPOSE, "hash": key_hash, "now": now_us}
    kept = await connection.execute(
        "UPDATE omni_setup_keys SET token_hash = :hash, heard_at = :now "
        "WHERE purpose = :purpose AND (token_hash = :hash OR heard_at < :past OR heard_at > "
        ":future)",
        values | {"past": now_us - silent_us, "future": now_us + silent_us},
    )
    if kept:
        return True
    if (
        await connection.fetch_one(
            "SELECT 1 FROM omni_setup_keys WHERE purpose = :purpose", {"purpose": _PURPOSE}
        )
        is not None
    ):
        return False
    await connection.execute(
        "INSERT INTO omni_setup_keys (purpose, token_hash, heard_at) VALUES (:purpose, :hash, "
        ":now)",
        values,
    )
    return True


async def is_key(connection: Connection, key_hash: str, heard_since_us: int) -> bool:
    """Whether this is the key, and the process that shows it has been heard since then."""
    row = await connection.fetch_one(
        "SELECT 1 FROM omni_setup_keys WHERE token_hash = :hash AND heard_at >= :since",
        {"hash": key_hash, "since": heard_since_us},
    )
    return row is not None


async def drop_key(connection: Connection, key_hash: str) -> bool:
    """Whether it was still there: of two that use it at once, one."""
    return (
        await connection.execute(
            "DELETE FROM omni_setup_keys WHERE token_hash = :hash", {"hash": key_hash}
        )
        == 1
    )
