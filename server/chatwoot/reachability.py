"""Whether our own webhook address leads to us, as far as that can be seen from here: what Chatwoot
will meet when it calls.
"""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx

from server.chatwoot.allowed_addresses import is_private, resolve, tls_context
from server.problems import Problem

_SECONDS = 5.0  # Chatwoot itself waits no longer


async def problem_with(webhook_url: str, proxy: str = "") -> Problem | None:
    """What answers a GET there instead of our endpoint (which says 405, as a
    problem of ours); None: it is us.
    """
    try:
        async with (
            asyncio.timeout(2 * _SECONDS),
            httpx.AsyncClient(
                verify=tls_context(),
                timeout=_SECONDS,
                follow_redirects=False,
                trust_env=False,
                proxy=proxy or None,
            ) as http,
            http.stream("GET", webhook_url, headers={"Accept": "application/json"}) as answer,
        ):
            pass  # the head is enough: whoever answers there may go on for ever
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        return Problem.of(
            "our_address.nothing_answers", address=webhook_url, kind=type(error).__name__
        )
    if answer.is_redirect:
        return Problem.of(
            "our_address.redirects",
            address=webhook_url,
            other=answer.headers.get("location", "elsewhere")[:200],
        )
    is_us = answer.status_code == 405 and answer.headers.get("content-type", "").startswith(
        "application/problem+json"
    )
    return (
        None
        if is_us
        else Problem.of(
            "our_address.something_else", address=webhook_url, status=answer.status_code
        )
    )


async def private_addresses(url: str) -> Sequence[str]:
    """Those of a host's addresses that are not on the public Internet; an unknown host has none."""
    parts = urlsplit(url)
    try:
        found = await resolve(parts.hostname or "", parts.port or 80)
    except OSError:
        return []
    return [address for address in found if is_private(address)]
