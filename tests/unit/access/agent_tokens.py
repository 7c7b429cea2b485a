"""Access with a shared secret, and the CRM's tokens for it."""

import time
from collections.abc import Collection
from typing import Any

import jwt

from server.access.authentication import Access
from server.db.engine.database import Database
from server.settings import Settings

SECRET = "k" * 32


def access_of(database: Database, ended: list[Collection[str]] | None = None) -> Access:
    ended = [] if ended is None else ended
    return Access(
        database,
        Settings(jwt_secret=SECRET, public_url="https://inbox.example.org"),
        lambda _agent: None,
        ended.append,
    )


def agent_token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    given = {"sub": "17", "companyId": 1, "exp": int(time.time()) + 60, "name": "Tomas"}
    return jwt.encode(
        {name: value for name, value in (given | claims).items() if value is not None},
        secret,
        algorithm,
    )
