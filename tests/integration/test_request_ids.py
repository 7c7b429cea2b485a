"""An answer that went wrong can be found in the log."""

import json

import httpx

from tests.kit.eventually import eventually
from tests.kit.omni import Omni


async def test_the_id_of_a_refused_request_stands_in_its_log_line(server: Omni) -> None:
    """With method, path, status and time; a good answer has neither id nor line."""
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False) as http:
        refused = await http.get("/api/conversations/17")
        good = await http.get("/livez")
    request_id = refused.headers["x-request-id"]

    async def line() -> dict[str, object]:
        [found] = [text for text in server.log.splitlines() if request_id in text]
        parsed: dict[str, object] = json.loads(found)
        return parsed

    logged = await eventually(line)
    assert (logged["event"], logged["path"], logged["status"]) == (
        "request",
        "/api/conversations/17",
        401,
    )
    assert "x-request-id" not in good.headers
