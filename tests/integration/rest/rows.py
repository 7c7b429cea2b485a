"""Rows without webhooks."""

from tests.kit.company import Company

INSERT_CONVERSATION = (
    "INSERT INTO social_conversations (company_id, platform, external_user_id, "
    "external_user_name, status, last_message_at, "
    # as if they had their event
    "created_at, omni_seq) VALUES (:company, :platform, :user, :name, :status, :at, '2024-01-01 "
    "00:00:00', 1)"
)


async def fill(company: Company, places: list[tuple[str | None, str, str]]) -> None:
    """Rows as (last_message_at, status, platform), without webhooks."""
    await company.database.transaction(
        lambda c: c.execute_many(
            INSERT_CONVERSATION,
            [
                {
                    "company": company.id,
                    "platform": platform,
                    "user": f"u{n}",
                    "name": f"Person {n}",
                    "status": status,
                    "at": at,
                }
                for n, (at, status, platform) in enumerate(places)
            ],
        )
    )
