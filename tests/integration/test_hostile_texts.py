"""Texts and addresses made to break out of where they are put: of SQL, of a line of the log, of a
folder, of this site.
"""

import httpx
import pytest

from tests.kit.company import Company

TEXTS = ["' OR '1'='1", "\\' OR 1=1 -- ", '"; DROP TABLE omni_agents; #', "\\"]
TEXTS += ["%s %d :id {0}", "ʼ OR ʼ1ʼ=ʼ1", "/*! SLEEP(5) */", "\\0'\u0000'"]


async def test_texts_come_back_as_they_were_written(company: Company) -> None:
    """Stored, read and searched for; NUL, which no text of Chatwoot's holds, may be shown as
    something else.
    """
    for number, text in enumerate(TEXTS, 1):
        await company.post(company.message(number, text))
    whole = await company.conversation_with(len(TEXTS))
    assert [message["content"] for message in whole["messages"]][:-1] == TEXTS[:-1]
    for text in TEXTS[:-1]:
        answer = await company.http.get("/api/conversations", params={"q": text})
        assert answer.status_code == 200, text


async def test_a_line_break_in_a_path_makes_no_line_of_the_log(company: Company) -> None:
    """A stranger writes no entries of their own."""
    async with company.omni.client() as http:
        await http.get("/nowhere%0A%7B%22event%22%3A%22forged-entry%22%7D%0D%0A")
    assert not any(
        line.startswith('{"event":"forged-entry"') for line in company.omni.log.splitlines()
    )


OUTSIDE = [
    "/static/../server/app.py",
    "/static/x/..%2f..%2fserver%2fapp.py",
    "/static/x/%2e%2e/%2e%2e/pyproject.toml",
]


@pytest.mark.parametrize("path", OUTSIDE)
async def test_no_file_outside_is_served(company: Company, path: str) -> None:
    """However the way out is written."""
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(company.omni.base_url + path)
    assert answer.status_code == 404
