"""Where a page may lead on to."""

import pytest

from server.http.pages.page_requests import inside

INSIDE = (
    "/inbox",
    "/inbox/c/12",
    "/inbox/settings",
    "/account",
    "/admin/people",
    "/admin/people?page=2",
    "/admin/integrations/3",
)
OUTSIDE = (
    *(
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/inbox",
        "javascript:alert(1)",
        "data:text/html,x",
    ),
    *(
        "/inbox\r\nX: y",
        "/inbox\n",
        "/inbox/../../evil",
        "/inbox@evil.example",
        "/inbox/c/٣",
        "/inbox?next=//evil.example",
    ),
    *(
        "",
        "inbox",
        " /inbox",
        "/\t/evil.example",
        "/%2f/evil.example",
        "/inbox#//evil.example",
        "///evil.example",
    ),
)


@pytest.mark.parametrize("target", INSIDE)
def test_our_pages_are_the_way_on(target: str) -> None:
    """With what they are asked for."""
    assert inside(target) == target


@pytest.mark.parametrize("target", OUTSIDE)
def test_all_else_leads_to_the_inbox(target: str) -> None:
    """Whatever a browser would make of it."""
    assert inside(target) == "/inbox"
