"""What belongs to an agent and what a company's agents share: preferences, canned replies."""

import httpx
import pytest

from tests.kit.company import Company

CANNED = "/api/canned-replies"


def _admin(company: Company, subject: str = "boss") -> httpx.AsyncClient:
    return company.omni.client(company.token(subject, role="admin"))


async def test_preferences_are_the_agent_s_own(company: Company) -> None:
    """Kept per agent, whole in every answer; a colleague keeps theirs."""
    async with company.client("one") as one, company.client("two") as two:
        first = (await one.get("/api/me")).json()
        assert first["preferences"]["theme"] == "auto"
        changed = await one.patch(
            "/api/me", json={"preferences": {"theme": "dark", "undoSeconds": 5}}
        )
        assert changed.status_code == 200
        assert changed.json() == first | {
            "preferences": first["preferences"] | {"theme": "dark", "undoSeconds": 5}
        }
        assert (await one.get("/api/me")).json() == changed.json()
        assert (await two.get("/api/me")).json()["preferences"] == first["preferences"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"preferences": 5},
        {"preferences": {"theme": "pink"}},
        {"preferences": {"role": "admin"}},
    ],
)
async def test_preferences_outside_the_sets_are_refused(
    company: Company, body: dict[str, object]
) -> None:
    """400, and nothing is changed."""
    before = await company.get("/api/me")
    answer = await company.http.patch("/api/me", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert await company.get("/api/me") == before


async def test_canned_replies_are_written_by_administrators_and_read_by_all(
    company: Company,
) -> None:
    """Add, change, delete; the list is by shortcut."""
    async with _admin(company) as admin:
        for shortcut, content in (
            ("thanks", "Thank you!"),
            ("ঠিকানা", "আমাদের ঠিকানা: ঢাকা"),
            ("Hours", "9 to 5"),
        ):
            assert (
                await admin.post(CANNED, json={"shortcut": shortcut, "content": content})
            ).status_code == 201
        listed = await company.get(CANNED)
        assert [set(one) for one in listed] == [{"id", "shortcut", "content"}] * 3
        assert [one["shortcut"] for one in listed] == ["hours", "thanks", "ঠিকানা"]
        path = f"{CANNED}/{listed[0]['id']}"
        changed = await admin.put(path, json={"shortcut": "open", "content": "9 to 6"})
        assert (changed.status_code, changed.json()) == (
            200,
            {"id": listed[0]["id"], "shortcut": "open", "content": "9 to 6"},
        )
        assert (await admin.delete(path)).status_code == 204
        assert (await admin.delete(path)).status_code == 404
    assert [one["shortcut"] for one in await company.get(CANNED)] == ["thanks", "ঠিকানা"]


async def test_a_shortcut_is_taken_once_in_a_company(company: Company) -> None:
    """409 for another text; the same text again is the same canned reply."""
    async with _admin(company) as admin:
        first = await admin.post(CANNED, json={"shortcut": "hi", "content": "Hello"})
        again = await admin.post(CANNED, json={"shortcut": "HI", "content": "Hello"})
        assert again.json() == first.json()
        other = await admin.post(CANNED, json={"shortcut": "hi", "content": "Good day"})
        assert (other.status_code, other.json()["code"]) == (409, "conflict")
        second = await admin.post(CANNED, json={"shortcut": "bye", "content": "Good bye"})
        clash = await admin.put(
            f"{CANNED}/{second.json()['id']}", json={"shortcut": "hi", "content": "x"}
        )
        assert (clash.status_code, clash.json()["code"]) == (409, "conflict")
    assert [one["content"] for one in await company.get(CANNED)] == ["Good bye", "Hello"]


async def test_who_is_no_administrator_changes_no_canned_reply(company: Company) -> None:
    """403 for each of the three."""
    async with _admin(company) as admin:
        one = (await admin.post(CANNED, json={"shortcut": "hi", "content": "Hello"})).json()
    body = {"shortcut": "hi", "content": "changed"}
    answers = [
        await company.http.post(CANNED, json=body),
        await company.http.put(f"{CANNED}/{one['id']}", json=body),
        await company.http.delete(f"{CANNED}/{one['id']}"),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (403, "forbidden")
    ] * 3
    assert await company.get(CANNED) == [one]


async def test_another_company_s_canned_replies_are_out_of_reach(company: Company) -> None:
    """Not listed, and neither changed nor deleted by their number; its shortcuts are free here."""
    async with _admin(company) as admin:
        one = (await admin.post(CANNED, json={"shortcut": "hi", "content": "Hello"})).json()
    async with Company(company.omni) as other, _admin(other) as stranger:
        assert await other.get(CANNED) == []
        path = f"{CANNED}/{one['id']}"
        assert (await stranger.put(path, json={"shortcut": "x", "content": "y"})).status_code == 404
        assert (await stranger.delete(path)).status_code == 404
        assert (
            await stranger.post(CANNED, json={"shortcut": "hi", "content": "Ours"})
        ).status_code == 201
    assert await company.get(CANNED) == [one]
