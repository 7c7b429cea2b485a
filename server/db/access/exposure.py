"""What in the database a stranger or another company's agent could use: for `doctor --security`."""

import msgspec

from server.core.times import SECOND
from server.db.access.audit_log import FOREIGN_REFUSED
from server.db.engine.database import Connection

_DAY_US = 86_400 * SECOND
_MAX_COMPANIES = 1_000


class Exposure(msgspec.Struct, frozen=True):
    """Numbers by company."""

    password_administrators: dict[int, int]  # active ones who sign in with a password alone
    administrator_invitations: dict[int, int]  # links that still make somebody an administrator
    # of the company's agents at what is another company's, in the last day
    foreign_attempts: dict[int, int]


async def read_exposure(connection: Connection, now_us: int) -> Exposure:
    """Read of all companies what `omni-inbox doctor` warns about in who has access."""
    return Exposure(
        await _by_company(
            connection,
            "omni_agents a WHERE a.role = 'admin' AND a.is_active = :yes AND a.password_hash IS "
            "NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM omni_second_factors f WHERE f.agent_id = a.id)",
            yes=True,
        ),
        await _by_company(
            connection,
            "omni_invitations a WHERE a.role = 'admin' AND a.accepted_at IS NULL AND "
            "a.expires_at > :now",
            now=now_us,
        ),
        await _by_company(
            connection,
            "omni_audit_log a WHERE a.act = :act AND a.at > :since",
            act=FOREIGN_REFUSED,
            since=now_us - _DAY_US,
        ),
    )


async def _by_company(connection: Connection, source: str, **values: object) -> dict[int, int]:
    rows = await connection.fetch_all(
        f"SELECT a.company_id, COUNT(*) FROM {source} GROUP BY a.company_id ORDER BY "
        "a.company_id LIMIT :limit",
        values | {"limit": _MAX_COMPANIES},
    )
    return {int(company_id): int(count) for company_id, count in rows}
