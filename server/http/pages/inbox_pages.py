"""The browser inbox as whole pages: what a browser shows before, and without, any script.

Data comes through `PageData`, in the shape of docs/protocol.md; the same objects go to the
templates and, as boot data, to the scripts. Texts come from web/locale; scripts print the same ones
with the same rules (i18n.js, list.js, message.js), and a test compares the two.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from server.core.pages.page_locale import JsonObject
from server.core.pages.page_thread import arrange
from server.core.state.preference_rules import CHOICES, Preferences
from server.errors import BadRequest, NotFound, OtherAgent
from server.http.pages.build_files import BuildFiles
from server.http.pages.page_frame import PageFrame
from server.http.pages.page_requests import (
    FORM_MAX_BYTES,
    check_same_origin,
    chosen_in_address,
    is_same_origin,
    path_of,
    read_form,
    redirect,
    remember_look,
    without_choice,
)
from server.http.pages.page_view import (
    FIRST_PAGE,
    PLATFORMS,
    PageFilters,
    View,
)


class PageAgent(Protocol):
    """The signed-in agent, as far as a page shows them."""

    @property
    def id(self) -> int: ...
    @property
    def company_id(self) -> int: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class ConversationPage:
    """Conversations as REST gives them, newest first; `next_before` is the `before` of the page
    after, if any.
    """

    items: Sequence[JsonObject]
    next_before: str | None


@dataclass(frozen=True)
class SignInDone:
    """Whole `Set-Cookie` values; recovery codes that are shown once; how many tries of others
    failed before.
    """

    cookies: Sequence[str]
    recovery_codes: Sequence[str] = ()
    failures: int = 0


class PageData(Protocol):
    """What the pages need of the rest of the server, in plain dicts and lists. What it raises of
    ours is shown as a page.
    """

    @property
    def needs_set_up(self) -> bool:
        """Whether it is known that there is no administrator yet."""

    def has_trouble(self, agent: PageAgent) -> bool:
        """Whether an administrator must be told that an inbox does not work."""

    async def authenticate(self, request: Request) -> PageAgent | None:
        """The agent of the session cookie; None when there is none, or no longer."""

    async def sign_in(self, request: Request, email: str, password: str) -> SignInDone:
        """Raises Unauthenticated when e-mail or password is wrong, SecondFactorNeeded with what the
        next step needs, TooManyRequests.
        """

    async def finish_sign_in(self, request: Request, ticket: str, code: str) -> SignInDone:
        """The second step. Raises Unauthenticated when it took too long, Unprocessable for a wrong
        code, TooManyRequests.
        """

    async def sign_out(self, request: Request, made_for: str | None) -> list[str]:
        """End the session of this request; the `Set-Cookie` value that clears the cookie. None of
        both where the page was made for another agent than the one who is signed in: that one stays
        so.
        """

    async def cursor(self, agent: PageAgent) -> str:
        """Head of the company's event log. Asked before the lists, so that nothing falls
        between.
        """

    async def list_conversations(
        self, agent: PageAgent, *, filters: PageFilters, limit: int, before: str | None
    ) -> ConversationPage:
        """One page of the list, with the agent's `readCount` and `unreadCount`."""

    async def preferences(self, agent: PageAgent) -> Preferences:
        """All of them, the defaults among them."""

    async def change_preferences(self, agent: PageAgent, given: Preferences) -> None:
        """Those that are given. Raises BadRequest for what cannot be chosen."""

    async def count_unread(self, agent: PageAgent) -> dict[str, int]:
        """How many messages the agent has not read, by the status of their conversations."""

    async def get_thread(
        self, agent: PageAgent, conversation_id: int, *, limit: int, before: int | None
    ) -> JsonObject | None:
        """A conversation with its newest `messages` (before a message id), oldest first; None: not
        theirs to see.
        """

    async def reply(
        self,
        agent: PageAgent,
        conversation_id: int,
        *,
        content: str,
        client_id: str,
        is_private: bool,
    ) -> None:
        """Take a reply for sending; the same `client_id` again changes nothing."""


def routes(
    web: Path, get_data: Callable[[Request], PageData], websocket_path: str = "/ws"
) -> list[BaseRoute]:
    """All routes of the pages. `web` is the directory with templates, locale and static files, read
    once, now.
    """
    return Pages(PageFrame(web), get_data, websocket_path).routes()


class Pages:
    """The pages' endpoints, with what they were given at the start."""

    def __init__(
        self, frame: PageFrame, get_data: Callable[[Request], PageData], websocket_path: str = "/ws"
    ) -> None:
        self._frame = frame
        self._get_data = get_data
        self._websocket_path = websocket_path
        names = sorted(file.name for file in (frame.static / "js").glob("*.js"))
        self._modules = [name for name in names if name not in ("main.js", "live-worker.js")]

    def routes(self) -> list[BaseRoute]:
        page = self._frame.page
        return [
            Route("/", page(self.home)),
            Route("/inbox", page(self.inbox)),
            Route("/inbox/c/{conversation_id:number}", page(self.inbox)),
            Route("/inbox/c/{conversation_id:number}/reply", page(self.reply), methods=["POST"]),
            Route("/inbox/settings", page(self.settings)),
            Route("/inbox/settings", page(self.change_settings), methods=["POST"]),
            Route("/inbox/{elsewhere:path}", page(self.nowhere)),
            Mount("/static/{build}", BuildFiles(self._frame.static, self._frame.build)),
        ]

    async def home(self, request: Request) -> Response:
        return redirect("/inbox")

    async def nowhere(self, request: Request) -> Response:
        raise NotFound

    async def inbox(self, request: Request) -> Response:
        """The list, and the thread where one is chosen."""
        data = self._get_data(request)
        agent = await self._signed_in(request)
        if agent is None:
            return redirect("/sign-in?" + urlencode({"next": path_of(request)}))
        if chosen := chosen_in_address(request):
            if is_same_origin(request):  # a link from elsewhere changes nothing for good
                await data.change_preferences(agent, {**chosen})
            return remember_look(redirect(without_choice(request)), chosen)
        view = View.of(request)
        cursor = await data.cursor(agent)
        page = await data.list_conversations(
            agent, filters=view.filters, limit=FIRST_PAGE, before=view.before_list
        )
        unread = await data.count_unread(agent)
        thread = None
        if view.open_id is not None:
            thread = await data.get_thread(
                agent, view.open_id, limit=FIRST_PAGE, before=view.before
            )
            if thread is None:
                raise NotFound
        return self._inbox_page(request, agent, view, cursor, page, unread, thread)

    async def reply(self, request: Request) -> Response:
        """A reply from a page without script."""
        check_same_origin(request)
        data = self._get_data(request)
        conversation_id = request.path_params["conversation_id"]
        target = f"/inbox/c/{conversation_id}"
        agent = await data.authenticate(request)
        if agent is None:
            return redirect("/sign-in?" + urlencode({"next": target}))
        form = await read_form(request, FORM_MAX_BYTES)
        _check_agent(form, agent)
        content = form.get("content", "").replace("\r\n", "\n").strip()
        is_private = _is_note(form)
        if content:
            client_id = form.get("client_id") or str(uuid.uuid4())
            await data.reply(
                agent, conversation_id, content=content, client_id=client_id, is_private=is_private
            )
        return redirect(target)

    async def settings(self, request: Request) -> Response:
        """What an agent may choose, as a form."""
        if await self._signed_in(request) is None:
            return redirect("/sign-in?" + urlencode({"next": path_of(request)}))
        return self._frame.render(
            request, "settings.html", {"choices": CHOICES, "preferences": request.state.preferences}
        )

    async def change_settings(self, request: Request) -> Response:
        check_same_origin(request)
        agent = await self._signed_in(request)
        if agent is None:
            return redirect("/sign-in?next=/inbox/settings")
        form = await read_form(request)
        _check_agent(form, agent)
        # an unchecked box is not sent at all
        given: Preferences = {
            name: name in form if isinstance(values[0], bool) else _chosen(values, form[name])
            for name, values in CHOICES.items()
            if name in form or isinstance(values[0], bool)
        }
        await self._get_data(request).change_preferences(agent, given)
        return remember_look(redirect("/inbox/settings"), given)

    async def _signed_in(self, request: Request) -> PageAgent | None:
        """The agent of this request; from now on it is answered in their language and look."""
        data = self._get_data(request)
        agent = await data.authenticate(request)
        request.state.preferences = await data.preferences(agent) if agent is not None else {}
        request.state.agent_id = agent.id if agent is not None else None
        return agent

    def _inbox_page(
        self,
        request: Request,
        agent: PageAgent,
        view: View,
        cursor: str,
        page: ConversationPage,
        unread: dict[str, int],
        thread: JsonObject | None,
    ) -> Response:
        locale = self._frame.locale(request)
        messages = thread["messages"] if thread else []
        older = (
            {**view.filters.params(), "before_list": page.next_before} if page.next_before else {}
        )
        context = {
            "agent": agent,
            "has_trouble": self._get_data(request).has_trouble(agent),
            "view": view,
            "filters": view.filters,
            "platforms": PLATFORMS,
            "unread": {**unread, "all": sum(unread.values())},
            "query": view.query(),
            "conversations": page.items,
            "older_query": urlencode(older),
            "empty_key": view.empty_key(),
            "thread": thread,
            "items": arrange(messages, thread["unreadCount"] if thread else 0, locale),
            "oldest_id": messages[0]["id"] if len(messages) >= FIRST_PAGE else None,
            "client_id": str(uuid.uuid4()),
            "modules": self._modules,
            "boot": {
                "agent": {"id": agent.id, "companyId": agent.company_id, "name": agent.name},
                "cursor": cursor,
                "lang": locale.lang,
                "digits": "beng" if locale.has_bengali_digits else "latn",
                "preferences": request.state.preferences,
                "zone": str(locale.zone),
                "wsUrl": self._websocket_path,
                "strings": locale.catalogue,
                "list": {"items": page.items, "next": view.api_address(page.next_before)},
                "unread": unread,
                "thread": thread,
            },
        }
        return self._frame.render(request, "inbox.html", context)


def _check_agent(form: Mapping[str, str], agent: PageAgent) -> None:
    """Raises OtherAgent for a form of a page that was made for somebody else."""
    if form.get("agent", str(agent.id)) != str(agent.id):
        raise OtherAgent


def _chosen(values: Sequence[str | int], text: str) -> str | int:
    """The choice that a form's field stands for; what stands for none is refused where choices are
    checked.
    """
    return next((value for value in values if str(value) == text), text)


def _is_note(form: Mapping[str, str]) -> bool:
    """What a form says it is, by the button that was pressed. Raises BadRequest for one that says
    nothing, or both: a guess could show the customer what was meant for colleagues.
    """
    modes = {form["mode"]} if "mode" in form else set()
    if form.get("private"):  # the tick, which only scripts use; and pages of earlier versions
        modes.add("note")
    if modes not in ({"note"}, {"reply"}):
        raise BadRequest
    return modes == {"note"}
