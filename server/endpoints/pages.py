"""The browser inbox as whole pages: what a browser shows before, and without, any script.

Data comes through `PageData`, in the shape of docs/protocol.md; the same objects go to the templates and, as boot
data, to the scripts. Texts come from web/locale; scripts print the same ones with the same rules (i18n.js, row.js,
message.js), and a test compares the two.
"""

import hashlib
import json
import mimetypes
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

JsonObject = Mapping[str, Any]

LANGUAGES = ("en", "bn")
THEMES = ("light", "dark")
FIRST_PAGE = 50
FORM_MAX_BYTES = 64 * 1024  # a reply is far below; anything larger is not our form
YEAR_SECONDS = 365 * 24 * 3600
GROUP_SPAN = timedelta(minutes=5)  # messages of one sender within this stand together
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; worker-src 'self'; "
        "img-src 'self' data: https:; font-src 'self'; media-src 'self' https:; manifest-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types inbox"
    ),
    # not `no-referrer`: browsers would then send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


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
    """Conversations as REST gives them, newest first; `next_before` is the `before` of the page after, if any."""

    items: Sequence[JsonObject]
    next_before: str | None


class PageData(Protocol):
    """What the pages need of the rest of the server."""

    async def authenticate(self, request: Request) -> PageAgent | None:
        """The agent of the session cookie; None when there is none, or no longer."""

    async def sign_in(self, email: str, password: str, address: str) -> str | None:
        """A whole `Set-Cookie` value for a new session; None when e-mail or password is wrong."""

    async def sign_out(self, request: Request) -> str:
        """End the session of this request; the `Set-Cookie` value that clears the cookie."""

    async def cursor(self, agent: PageAgent) -> str:
        """Head of the company's event log. Asked before the lists, so that nothing falls between."""

    async def list_conversations(self, agent: PageAgent, *, status: str | None, q: str, limit: int, before: str | None) -> ConversationPage:
        """One page of the list, with the agent's `readCount` and `unreadCount`."""

    async def get_thread(self, agent: PageAgent, conversation_id: int, *, limit: int, before: int | None) -> JsonObject | None:
        """A conversation with its newest `messages` (before a message id), oldest first; None: not theirs to see."""

    async def reply(self, agent: PageAgent, conversation_id: int, *, content: str, client_id: str, is_private: bool) -> None:
        """Take a reply for sending; the same `client_id` again changes nothing."""


def routes(web: Path, get_data: Callable[[Request], PageData], websocket_path: str = "/ws") -> list[BaseRoute]:
    """All routes of the pages. `web` is the directory with templates, locale and static files, read once, now."""
    return Pages(web, get_data, websocket_path).routes()


class Pages:
    """The pages' endpoints and what they share: templates, catalogues, the build's name."""

    def __init__(self, web: Path, get_data: Callable[[Request], PageData], websocket_path: str = "/ws") -> None:
        self._static = web / "static"
        self._build = _hash_files(self._static)
        self._get_data = get_data
        self._websocket_path = websocket_path
        self._catalogues = {lang: _read_catalogue(web / "locale" / f"{lang}.json") for lang in LANGUAGES}
        self._templates = Environment(
            loader=FileSystemLoader(web / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        names = sorted(file.name for file in (self._static / "js").glob("*.js"))
        self._modules = [name for name in names if name not in ("main.js", "live-worker.js")]

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.home),
            Route("/inbox", self.inbox),
            Route("/inbox/c/{conversation_id:int}", self.inbox),
            Route("/inbox/c/{conversation_id:int}/reply", self.reply, methods=["POST"]),
            Route("/sign-in", self.sign_in_page),
            Route("/sign-in", self.sign_in, methods=["POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
            Mount("/static/{build}", BuildFiles(self._static, self._build)),
        ]

    async def home(self, request: Request) -> Response:
        return _redirect("/inbox")

    async def inbox(self, request: Request) -> Response:
        """The list, and the thread where one is chosen."""
        if (chosen := _choose_preference(request)) is not None:
            return chosen
        data = self._get_data(request)
        agent = await data.authenticate(request)
        if agent is None:
            return _redirect("/sign-in?" + urlencode({"next": _path_of(request)}))
        view = View.of(request)
        cursor = await data.cursor(agent)
        page = await data.list_conversations(
            agent, status=view.status, q=view.q, limit=FIRST_PAGE, before=request.query_params.get("before_list")
        )
        thread = None
        if view.open_id is not None:
            before = request.query_params.get("before", "")
            before_id = int(before) if before.isascii() and before.isdigit() else None
            thread = await data.get_thread(agent, view.open_id, limit=FIRST_PAGE, before=before_id)
            if thread is None:
                return self.error(request, 404)
        return self._inbox_page(request, agent, view, cursor, page, thread)

    async def reply(self, request: Request) -> Response:
        """A reply from a page without script."""
        if not _is_same_origin(request):
            return self.error(request, 403)
        data = self._get_data(request)
        conversation_id = request.path_params["conversation_id"]
        target = f"/inbox/c/{conversation_id}"
        agent = await data.authenticate(request)
        if agent is None:
            return _redirect("/sign-in?" + urlencode({"next": target}))
        form = await _read_form(request)
        content = form.get("content", "").replace("\r\n", "\n").strip()
        if content:
            client_id = form.get("client_id") or str(uuid.uuid4())
            is_private = bool(form.get("private"))
            await data.reply(agent, conversation_id, content=content, client_id=client_id, is_private=is_private)
        return _redirect(target)

    async def sign_in_page(self, request: Request) -> Response:
        if (chosen := _choose_preference(request)) is not None:
            return chosen
        return self._sign_in_form(request, request.query_params.get("next", ""))

    async def sign_in(self, request: Request) -> Response:
        if not _is_same_origin(request):
            return self.error(request, 403)
        form = await _read_form(request)
        address = request.client.host if request.client else ""
        email = form.get("email", "")
        cookie = await self._get_data(request).sign_in(email, form.get("password", ""), address)
        if cookie is None:
            return self._sign_in_form(request, form.get("next", ""), email=email, is_wrong=True)
        response = _redirect(_inside(form.get("next", "")))
        response.headers.append("Set-Cookie", cookie)
        return response

    async def sign_out(self, request: Request) -> Response:
        if not _is_same_origin(request):
            return self.error(request, 403)
        response = _redirect("/sign-in")
        response.headers.append("Set-Cookie", await self._get_data(request).sign_out(request))
        return response

    def error(self, request: Request, status: int) -> Response:
        """A page that says in a sentence what to do; also for the application's exception handlers."""
        key = f"error.{status}"
        reason = key if key in self._catalogues["en"] else "error.unknown"
        return self._render(request, "error.html", {"reason": reason}, status)

    def _sign_in_form(self, request: Request, target: str, email: str = "", is_wrong: bool = False) -> Response:
        context = {"next": _inside(target), "email": email, "is_wrong": is_wrong}
        return self._render(request, "login.html", context, 422 if is_wrong else 200)

    def _inbox_page(
        self,
        request: Request,
        agent: PageAgent,
        view: "View",
        cursor: str,
        page: ConversationPage,
        thread: JsonObject | None,
    ) -> Response:
        locale = self._locale(request)
        messages = thread["messages"] if thread else []
        older = {**view.params(), "before_list": page.next_before} if page.next_before else {}
        context = {
            "agent": agent,
            "view": view,
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
                "zone": str(locale.zone),
                "wsUrl": self._websocket_path,
                "strings": locale.catalogue,
                "list": {"items": page.items, "next": view.api_address(page.next_before)},
                "thread": thread,
            },
        }
        return self._render(request, "inbox.html", context)

    def _render(self, request: Request, template: str, context: JsonObject, status: int = 200) -> Response:
        theme = request.cookies.get("omni_theme")
        shared = {
            "l": self._locale(request),
            "theme": theme if theme in THEMES else None,
            "static": f"/static/{self._build}",
        }
        html = self._templates.get_template(template).render({**shared, **context})
        headers = {"Cache-Control": "private, no-cache", "Vary": "Cookie, Accept-Language", **SECURITY_HEADERS}
        return HTMLResponse(html, status, headers)

    def _locale(self, request: Request) -> "Locale":
        lang = request.cookies.get("omni_lang")
        if lang not in LANGUAGES:
            lang = _preferred_language(request.headers.get("Accept-Language", ""))
        return Locale(lang, self._catalogues[lang], _zone(request.cookies.get("omni_tz", "")), datetime.now(UTC))


class BuildFiles(StaticFiles):
    """Static files under the build's name, which changes with any of them: browsers may keep them for ever."""

    def __init__(self, directory: Path, build: str) -> None:
        super().__init__(directory=directory)
        self._build = build
        # what the machine's own table of types may lack
        mimetypes.add_type("font/woff2", ".woff2")
        mimetypes.add_type("text/javascript", ".js")
        mimetypes.add_type("application/manifest+json", ".webmanifest")

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        # A page of an earlier build is still open somewhere: it gets today's file, but must not keep it under that name.
        is_ours = scope["path_params"]["build"] == self._build
        response.headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable" if is_ours else "no-cache"
        response.headers.update(SECURITY_HEADERS)
        return response


@dataclass(frozen=True)
class View:
    """What an address asks for: filter, search, open conversation."""

    status: str | None  # None: all
    q: str
    open_id: int | None

    @classmethod
    def of(cls, request: Request) -> "View":
        asked = request.query_params.get("status")
        status = None if asked == "all" else "Closed" if asked == "Closed" else "Open"
        return cls(status, request.query_params.get("q", "").strip(), request.path_params.get("conversation_id"))

    def params(self) -> dict[str, str]:
        """The query parameters that keep the filter; none for the ordinary one."""
        params = {} if self.status == "Open" else {"status": self.status or "all"}
        return {**params, "q": self.q} if self.q else params

    def query(self) -> str:
        return f"?{urlencode(self.params())}" if self.params() else ""

    def empty_key(self) -> str:
        if self.q:
            return "list.emptySearch"
        return "list.emptyOpen" if self.status == "Open" else "list.empty"

    def api_address(self, before: str | None) -> str | None:
        """Where a script finds the page of the list after this one."""
        if before is None:
            return None
        params = {"limit": str(FIRST_PAGE), "status": self.status or "", "q": self.q, "before": before}
        return "/api/conversations?" + urlencode({name: value for name, value in params.items() if value})


@dataclass(frozen=True)
class ThreadItem:
    """A message with what stands around it."""

    message: JsonObject
    key: str
    side: str
    day: str | None
    is_new: bool
    is_start: bool
    is_end: bool


def arrange(messages: Sequence[JsonObject], unread_count: int, locale: "Locale") -> list[ThreadItem]:
    """Groups of one sender, days, and the divider before the newest `unread_count` customer messages."""
    inbound = [message["id"] for message in messages if message["senderType"] == "customer"]
    first_new = inbound[-unread_count:][0] if unread_count and inbound else None
    days = [locale.day(message["createdAt"]) for message in messages]
    changes = [True] + [a != b for a, b in pairwise(days)]
    starts = [
        changes[index] or message["id"] == first_new or not _is_same_group(messages[index - 1], message)
        for index, message in enumerate(messages)
    ]
    return [
        ThreadItem(
            message=message,
            key=f"c-{message['clientId']}" if message.get("clientId") else f"m-{message['id']}",
            side="note" if message["private"] else "mine" if message["senderType"] == "agent" else "theirs",
            day=days[index] if changes[index] else None,
            is_new=message["id"] == first_new,
            is_start=starts[index],
            is_end=index + 1 == len(messages) or starts[index + 1],
        )
        for index, message in enumerate(messages)
    ]


def _is_same_group(before: JsonObject, message: JsonObject) -> bool:
    same = all(before.get(name) == message.get(name) for name in ("senderType", "senderName", "private"))
    return same and _moment(message["createdAt"]) - _moment(before["createdAt"]) <= GROUP_SPAN


@dataclass(frozen=True)
class Wait:
    level: str
    text: str


@dataclass(frozen=True)
class Locale:
    """How one agent reads: language, time zone, and now."""

    lang: str
    catalogue: Mapping[str, str]
    zone: tzinfo
    now: datetime
    _digits: Mapping[int, str] = field(default_factory=lambda: {ord("0") + n: chr(0x09E6 + n) for n in range(10)})

    def t(self, key: str, **values: object) -> str:
        """The text of `key`; `n` chooses between `.one` and `.other` where the catalogue has them."""
        count = values.get("n")
        is_one = isinstance(count, int) and (count == 1 or (self.lang == "bn" and count == 0))
        plural = f"{key}.{'one' if is_one else 'other'}"
        text = self.catalogue[plural if plural in self.catalogue else key]
        return re.sub(r"\{(\w+)\}", lambda match: self._value(values[match[1]]), text)

    def _value(self, value: object) -> str:
        return self.number(value) if isinstance(value, int) else str(value)

    def number(self, value: int) -> str:
        return self._in_digits(str(value))

    def _in_digits(self, text: str) -> str:
        return text.translate(self._digits) if self.lang == "bn" else text

    def _local(self, iso: str) -> datetime:
        return _moment(iso).astimezone(self.zone)

    def clock(self, iso: str) -> str:
        return self._in_digits(self._local(iso).strftime("%H:%M"))

    def _date(self, at: datetime, with_year: bool) -> str:
        month = self.catalogue["time.months"].split(" ")[at.month - 1]
        return f"{self.number(at.day)} {month}" + (f" {self.number(at.year)}" if with_year else "")

    def day(self, iso: str) -> str:
        at, now = self._local(iso), self.now.astimezone(self.zone)
        days_ago = (now.date() - at.date()).days
        if days_ago == 0:
            return self.t("time.today")
        return self.t("time.yesterday") if days_ago == 1 else self._date(at, with_year=at.year != now.year)

    def list_time(self, iso: str | None) -> str:
        if iso is None:
            return ""
        is_today = self._local(iso).date() == self.now.astimezone(self.zone).date()
        return self.clock(iso) if is_today else self.day(iso)

    def full(self, iso: str) -> str:
        return f"{self._date(self._local(iso), with_year=True)}, {self.clock(iso)}"

    def waiting(self, iso: str | None) -> Wait | None:
        """How long a customer has waited; nothing below a quarter of an hour, where a number would only be noise."""
        minutes = int((self.now - _moment(iso)).total_seconds() // 60) if iso else 0
        if minutes < 15:
            return None
        if minutes < 60:
            return Wait("warn", self.t("time.minutes", n=minutes))
        if minutes < 48 * 60:
            return Wait("bad", self.t("time.hours", n=minutes // 60))
        return Wait("bad", self.t("time.days", n=minutes // 1440))

    def initial(self, name: str) -> str:
        return next((sign for sign in name if unicodedata.category(sign)[0] in "LN"), "•").upper() if name else ""

    def preview(self, preview: JsonObject | None) -> str:
        if not preview:
            return ""
        text = preview["content"] or (self.t("row.attachment") if preview["hasAttachments"] else "")
        return self.t("row.reply", text=text) if preview["senderType"] == "agent" else text

    def contact(self, conversation: JsonObject) -> str:
        contact = conversation.get("contact") or {}
        details = " · ".join(filter(None, (contact.get("phone"), contact.get("email"))))
        return details or self.t("status.Open" if conversation["status"] == "Open" else "status.Closed")

    def sender(self, message: JsonObject) -> str:
        return message.get("senderName") or self.t("message.agent" if message["senderType"] == "agent" else "message.customer")

    def reason(self, error: JsonObject | None) -> str:
        key = f"error.{(error or {}).get('code')}"
        return self.t(key) if key in self.catalogue else (error or {}).get("message") or self.t("error.unknown")

    def files(self, message: JsonObject) -> list[dict[str, Any]]:
        """Attachments that may be linked: addresses come from outside, `javascript:` and the like never get in."""
        if message["deleted"]:
            return []
        return [self._file(found) for found in message.get("attachments") or [] if _is_safe(found.get("url"))]

    def _file(self, found: JsonObject) -> dict[str, Any]:
        is_image = found["type"] == "image"
        thumb = found.get("thumbUrl")
        return {
            "is_image": is_image,
            "url": found["url"],
            "thumb": thumb if _is_safe(thumb) else "",
            "label": found.get("name") or self.t("file.image" if is_image else "file.file"),
            "width": found.get("width"),
            "height": found.get("height"),
        }


def _is_safe(url: str | None) -> bool:
    return re.match(r"https?://", url or "") is not None


def _moment(iso: str) -> datetime:
    return datetime.fromisoformat(iso)


def _hash_files(directory: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(file.relative_to(directory).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _read_catalogue(file: Path) -> dict[str, str]:
    catalogue: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return catalogue


def _zone(name: str) -> tzinfo:
    # a cookie is the visitor's to write: ZoneInfo refuses paths, and what it does not know reads as UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def _preferred_language(accepted: str) -> str:
    ranked = []
    for position, entry in enumerate(accepted.split(",")):
        tag, _, weight = entry.strip().partition(";q=")
        try:
            ranked.append((-float(weight or 1), position, tag.split("-")[0].lower()))
        except ValueError:
            continue
    return next((lang for _, _, lang in sorted(ranked) if lang in LANGUAGES), LANGUAGES[0])


def _choose_preference(request: Request) -> Response | None:
    """`?lang=` and `?theme=` set a cookie and lead back to the same page without them."""
    chosen = {"lang": LANGUAGES, "theme": (*THEMES, "auto")}
    given = {name: value for name, value in request.query_params.items() if name in chosen and value in chosen[name]}
    if not given:
        return None
    rest = [(name, value) for name, value in request.query_params.multi_items() if name not in chosen]
    response = _redirect(request.url.path + (f"?{urlencode(rest)}" if rest else ""))
    for name, value in given.items():
        response.set_cookie(f"omni_{name}", value, max_age=YEAR_SECONDS, samesite="lax")
    return response


def _path_of(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _inside(target: str) -> str:
    """Only our own pages may be the way on after signing in: `//elsewhere` and `/\\elsewhere` lead out."""
    return target if re.fullmatch(r"/inbox(/c/\d+)?(\?[\w%=&.+~*-]*)?", target, re.ASCII) else "/inbox"


def _redirect(target: str) -> Response:
    return RedirectResponse(target, 303, headers={"Cache-Control": "private, no-cache", **SECURITY_HEADERS})


def _is_same_origin(request: Request) -> bool:
    """Whether a form came from one of our pages: browsers say so themselves in headers no page can forge."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("Host")


async def _read_form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_MAX_BYTES:
            return {}
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    return {name: values[-1] for name, values in fields.items()}
