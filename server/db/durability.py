"""What the promise "answered 200 is on disk" assumes of the database, looked at after the start."""

from server.db.database import Connection

_WANTED = {
    "innodb_flush_log_at_trx_commit": ("1", "a commit may be lost when the database's machine loses power"),
    "sync_binlog": ("1", "a replica may miss what this server has committed"),
    "innodb_doublewrite": ("ON", "a page half written at a crash cannot be repaired"),
}


async def weaker_settings(connection: Connection) -> list[str]:
    """A sentence for each setting that is weaker than the promise; empty on SQLite, whose settings are our own."""
    if connection.dialect == "sqlite":
        return []
    names = ", ".join(f"'{name}'" for name in (*_WANTED, "log_bin"))
    rows = await connection.fetch_all(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    found = {str(name): str(value) for name, value in rows}
    sentences = []
    for name, (wanted, consequence) in _WANTED.items():
        if name == "sync_binlog" and found.get("log_bin", "OFF") == "OFF":
            continue
        if name in found and found[name].upper() not in (wanted, "1", "ON", "DETECT_AND_RECOVER"):
            sentences.append(f"{name} is {found[name]}, not {wanted}: {consequence}")
    return sentences
