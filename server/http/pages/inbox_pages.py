"""The browser inbox as whole pages: what a browser shows before, and without, any script.

The templates and, as boot data, the scripts get the same objects, in the shape of docs/protocol.md.
Texts come from web/locale; scripts print the same ones with the same rules (i18n.js, list.js,
message.js), and a test compares the two.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from server.access.authentication import Principal
from server.core.pages.page_locale import JsonObject, Locale
from server.core.pages.page_thread import ThreadItem, arrange
from server.core.state.message_kinds import KINDS
from server.core.state.preference_rules import CHOICES, Preferences
from server.core.state.upload_rules import MAX_FILES
from server.db.access.agent_rows import Agent
from server.db.state.lists import Filters
from server.errors import BadRequest, NotFound
from server.http.agent_preferences import AgentPreferences
from server.http.pages.build_files import BuildFiles
from server.http.pages.page_frame import PageFrame
from server.http.pages.page_requests import (
    MAX_FORM_BYTES,
    read_form,
    redirect,
    remember_appearance,
)
from server.http.pages.page_shell import PageShell, done_of
from server.http.pages.page_view import FIRST_PAGE, PLATFORMS, View
from server.integrations.directory import Directory
from server.integrations.own_tokens import OwnTokens
from server.live.feeds import Feeds
from server.outgoing.reply_intake import ReplyIntake
from server.reading.inbox import Inbox, parse_place


@dataclass
class Shown:
    """What a page shows: conversations as REST gives them, newest first, and the thread of one.
    `next_before` is the `before` of the list's next page, if any.
    """

    cursor: str
    items: list[JsonObject]
    next_before: str | None
    unread: dict[str, int]
    senders: list[JsonObject]  # under which name the agent's replies go out, by integration
    thread: JsonObject | None = None


class InboxPages:
    """Serves the inbox's pages, its forms and its static files."""

    def __init__(
        self,
        frame: PageFrame,
        shell: PageShell,
        preferences: AgentPreferences,
        *,
        inbox: Inbox,
        replies: ReplyIntake,
        feeds: Feeds,
        directory: Directory,
        own_tokens: OwnTokens,
        upload_max_bytes: int,
    ) -> None:
        self._frame = frame
        self._shell = shell
        self._preferences = preferences
        self._inbox = inbox
        self._replies = replies
        self._feeds = feeds
        self._directory = directory
        self._own_tokens = own_tokens
        self._limits = {"files": MAX_FILES, "bytes": upload_max_bytes}
        names = sorted(file.name for file in (frame.static / "js").glob("*.js"))
        self._modules = [name for name in names if name not in ("main.js", "live-worker.js")]

    def routes(self) -> list[BaseRoute]:
        """The routes under `/inbox`, and `/static`."""
        page, agent, own_form = self._frame.page, self._shell.agent, self._shell.own_form
        conversation = "/inbox/c/{conversation_id:number}"
        reply = own_form(self.reply, max_bytes=MAX_FORM_BYTES, page=_conversation_of)
        return [
            Route("/", page(self.home)),
            Route("/favicon.ico", page(self.icon)),
            Route("/inbox", agent(self.inbox)),
            Route(conversation, agent(self.inbox)),
            Route(f"{conversation}/reply", reply, methods=["POST"]),
            Route("/inbox/settings", agent(self.settings)),
            Route("/inbox/settings", own_form(self.change_settings), methods=["POST"]),
            Route("/inbox/{elsewhere:path}", page(self.nowhere)),
            Mount("/static/{build}", BuildFiles(self._frame.static, self._frame.build)),
        ]

    async def home(self, request: Request) -> Response:
        """Lead `/` to the inbox."""
        return redirect("/inbox")

    async def icon(self, request: Request) -> Response:
        """Lead to the icon: browsers ask for it beside a document that they show by itself."""
        return redirect(f"/static/{self._frame.build}/favicon.svg")

    async def nowhere(self, request: Request) -> Response:
        """Raise NotFound, so that an address of the inbox that is none has the page's own error."""
        raise NotFound

    async def inbox(self, request: Request, principal: Principal) -> Response:
        """Show the list, and the thread where one is chosen."""
        agent, view = principal.agent, View.of(request)
        # before the lists, so that nothing falls between
        cursor = (await self._feeds.watch(agent.company_id)).cursor
        items, next_before = await self._inbox.page(agent, _filters(view), FIRST_PAGE)
        unread, _ = await self._inbox.unread(agent)
        senders = msgspec.to_builtins(await self._own_tokens.senders(agent))
        shown = Shown(cursor, msgspec.to_builtins(items), next_before, unread, senders)
        if view.open_id is not None:
            thread = await self._inbox.thread(
                agent, view.open_id, limit=FIRST_PAGE, before=view.before
            )
            shown.thread = msgspec.to_builtins(thread)
        return self._inbox_page(request, agent, view, shown)

    async def reply(self, request: Request, principal: Principal) -> Response:
        """Send a reply from a page without script."""
        form = await read_form(request, MAX_FORM_BYTES)
        content = form.get("content", "").replace("\r\n", "\n").strip()
        request.state.written = content
        is_private = _is_note(form)
        if content:
            await self._replies.submit(
                principal.agent,
                request.path_params["conversation_id"],
                content,
                # the form's own, so that sending it twice is one reply
                key=form.get("client_id") or str(uuid.uuid4()),
                last_seen=None,
                is_private=is_private,
            )
        return redirect(_conversation_of(request))

    async def settings(self, request: Request, principal: Principal) -> Response:
        """Show what an agent may choose, as a form."""
        return self._shell.render(
            request,
            "settings.html",
            principal=principal,
            choices=CHOICES,
            preferences=request.state.preferences,
            done=done_of(request, ("saved",)),
        )

    async def change_settings(self, request: Request, principal: Principal) -> Response:
        """Store what was chosen. Raises BadRequest for a value that cannot be."""
        form = await read_form(request)
        # an unchecked box is not sent at all
        given: Preferences = {
            name: name in form if isinstance(values[0], bool) else _chosen(values, form[name])
            for name, values in CHOICES.items()
            if name in form or isinstance(values[0], bool)
        }
        await self._preferences.change(principal.agent.id, given)
        return remember_appearance(redirect("/inbox/settings?done=saved"), given)

    def _inbox_page(self, request: Request, agent: Agent, view: View, shown: Shown) -> Response:
        locale = self._frame.locale(request)
        thread, unread = shown.thread, shown.unread
        messages = thread["messages"] if thread else []
        before = {"before_list": shown.next_before} if shown.next_before else {}
        older = {**view.filters.params(), **before} if before else {}
        has_inboxes = self._directory.has_inboxes(agent.company_id)
        is_connected = self._directory.is_connected(agent.company_id)
        if not is_connected:
            locale = _without_inbox(locale)
        context = {
            "l": locale,
            "agent": agent,
            "has_trouble": self._has_trouble(agent),
            "has_inboxes": has_inboxes,
            "view": view,
            "filters": view.filters,
            "platforms": PLATFORMS,
            "unread": {**unread, "all": unread["Open"] + unread["Closed"]},
            "query": view.query(),
            "conversations": shown.items,
            "older_query": urlencode(older),
            "is_connected": is_connected,
            "empty_key": view.empty_key(),
            "thread": thread,
            "senders": {one["integrationId"]: one for one in shown.senders},
            "items": _items(thread, locale),
            "oldest_id": messages[0]["id"] if len(messages) >= FIRST_PAGE else None,
            "client_id": str(uuid.uuid4()),
            "modules": self._modules,
            "boot": {
                "agent": {"id": agent.id, "companyId": agent.company_id, "name": agent.name},
                "cursor": shown.cursor,
                "printedAt": int(locale.now.timestamp() * 1_000),
                "lang": locale.lang,
                "digits": "beng" if locale.has_bengali_digits else "latn",
                "preferences": request.state.preferences,
                "zone": str(locale.zone),
                "wsUrl": "/ws",
                "strings": locale.catalogue,
                "kinds": KINDS,
                "hasInboxes": has_inboxes,
                "limits": self._limits,
                "own": self._directory.addresses_of(agent.company_id),
                "list": {"items": shown.items, "next": view.api_address(shown.next_before)},
                "unread": unread,
                "thread": thread,
                "senders": shown.senders,
            },
        }
        return self._frame.render(request, "inbox.html", context)

    def _has_trouble(self, agent: Agent) -> bool:
        """Whether to show an administrator that an inbox of the company does not work."""
        return agent.role == "admin" and self._directory.has_trouble(agent.company_id)


def _without_inbox(locale: Locale) -> Locale:
    """Return the locale of a company to which no inbox is connected: an empty list is no work that
    is done. Scripts get the same texts.
    """
    text = locale.t("list.noInbox")
    texts = {**locale.catalogue, "list.emptyOpen": text, "list.empty": text}
    return replace(locale, catalogue=texts)


def _items(thread: JsonObject | None, locale: Locale) -> list[ThreadItem]:
    if thread is None:
        return []
    return arrange(thread["messages"], thread["unreadCount"], locale, conversation=thread)


def _filters(view: View) -> Filters:
    filters = view.filters
    place = parse_place(view.before_list) if view.before_list else None
    q = filters.q or None
    return Filters(filters.status, filters.platform, q, place, filters.is_unsent)


def _conversation_of(request: Request) -> str:
    """Return the address of the conversation that a form of it was sent from."""
    return f"/inbox/c/{request.path_params['conversation_id']}"


def _chosen(values: Sequence[str | int], text: str) -> str | int:
    """Return the choice that a form's field stands for; what stands for none is refused where
    choices are checked.
    """
    return next((value for value in values if str(value) == text), text)


def _is_note(form: Mapping[str, str]) -> bool:
    """Return what a form says it is, by the button that was pressed. Raises BadRequest for one that
    says nothing, or both: a guess could show the customer what was meant for colleagues.
    """
    modes = {form["mode"]} if "mode" in form else set()
    if form.get("private"):  # the tick, which only scripts use; and pages of earlier versions
        modes.add("note")
    if modes not in ({"note"}, {"reply"}):
        raise BadRequest
    return modes == {"note"}
