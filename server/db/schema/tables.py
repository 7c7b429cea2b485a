"""The one definition of the tables: DDL for both dialects, migrations and `schema.sql` are made
from it. Each subject has its module.

Three tables are older than this program and read by others: `shared_tables`.
"""

from server.db.schema import (
    access_tables,
    journal_tables,
    log_tables,
    reply_tables,
    shared_tables,
)
from server.db.schema.column_types import metadata

__all__ = ["metadata"]

# imported for what they add to `metadata`
SUBJECTS = (shared_tables, journal_tables, log_tables, access_tables, reply_tables)
