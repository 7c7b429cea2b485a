"""What all pages share, the inbox's and the administrators': templates, catalogues, the build's
name, and what becomes of our errors.
"""

import functools
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server.core.pages.page_locale import (
    LANGUAGES,
    JsonObject,
    Locale,
    preferred_language,
)
from server.core.pages.page_marks import head_marks, row_marks
from server.core.pages.page_nodes import html
from server.errors import OmniError
from server.http.pages.build_files import hash_files
from server.http.pages.page_requests import PAGE_HEADERS, THEMES, zone_of
from server.http.responses import Handler
from server.problems import Problem, catalogue

# what people write is escaped, and so is no form
_WRITES = re.compile(r'<form\b[^>]*\bmethod="post"[^>]*>')


class PageFrame:
    """Renders templates. `web` is the directory with templates, locale and static files, read once,
    now.
    """

    def __init__(self, web: Path) -> None:
        self.static = web / "static"
        self.build = hash_files(self.static)
        locale = web / "locale"
        self._catalogues = {lang: _read(locale / f"{lang}.json") for lang in LANGUAGES}
        # apart, as the scripts of the inbox are sent its catalogue whole
        self._wide = {
            lang: self._catalogues[lang] | _read(locale / "admin" / f"{lang}.json")
            for lang in LANGUAGES
        }
        self._templates = Environment(
            loader=FileSystemLoader(web / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals |= {"nodes": html, "row_marks": row_marks, "head_marks": head_marks}

    def page(self, handler: Handler) -> Handler:
        """Return the handler, with our own errors as pages."""

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except OmniError as error:
                return self.error(request, error)

        return answer

    def render(
        self, request: Request, template: str, context: JsonObject, status: int = 200
    ) -> Response:
        """Return a page in the visitor's language and theme; forms that write are bound to the
        agent of the request.
        """
        theme = _chosen(request, "theme") or request.cookies.get("omni_theme")
        shared: dict[str, Any] = {
            "l": self.locale(request, is_wide=True),
            "theme": theme if theme in THEMES else None,
            "static": f"/static/{self.build}",
            "path": request.url.path,
            # what a form was answered with cannot be asked for again
            "can_turn": request.method == "GET",
            "in_language": functools.partial(_in_language, request),
        }
        html = self._templates.get_template(template).render({**shared, **context})
        html = _made_for(getattr(request.state, "agent_id", None), html)
        return HTMLResponse(html, status, {"Vary": "Cookie, Accept-Language", **PAGE_HEADERS})

    def error(self, request: Request, error: OmniError) -> Response:
        """Return a page that says in a sentence what to do: the error's own, where that is one for
        people. It has what was written in the form (`request.state.written`): browsers do not keep
        it.
        """
        locale = self.locale(request)
        keys = (f"error.{error.code}", f"error.{error.status}", "error.unknown")
        general = locale.t(next(key for key in keys if key in locale.catalogue))
        titles = (f"error.title.{error.status}", "error.title")
        context = {
            "title": locale.t(next(key for key in titles if key in locale.catalogue)),
            "text": locale.sentence(error.problem)
            if isinstance(error.problem, Problem)
            else general,
            "written": getattr(request.state, "written", ""),
        }
        response = self.render(request, "error.html", context, error.status)
        if error.retry_seconds is not None:
            response.headers["Retry-After"] = str(error.retry_seconds)
        return response

    def locale(self, request: Request, *, is_wide: bool = False) -> Locale:
        """Return the visitor's language, by choice, cookie or browser. `is_wide`: with the texts of
        the administrators' pages as well.
        """
        lang = _chosen(request, "language") or request.cookies.get("omni_lang")
        if lang not in LANGUAGES:
            lang = preferred_language(request.headers.get("Accept-Language", ""))
        digits = _chosen(request, "digits") or ("beng" if lang == "bn" else "latn")
        texts = (self._wide if is_wide else self._catalogues)[lang]
        return Locale(
            lang,
            texts,
            zone_of(request),
            datetime.now(UTC),
            digits == "beng",
            catalogue(lang),
        )


def _made_for(agent_id: int | None, html: str) -> str:
    """Put the agent whom the page was made for into each form that writes, so that none can be
    forgotten: another one may be signed in in this browser when it is sent.
    """
    return (
        html
        if agent_id is None
        else _WRITES.sub(rf'\g<0><input type="hidden" name="agent" value="{agent_id}">', html)
    )


def _chosen(request: Request, name: str) -> str | None:
    """Return what the signed-in agent chose for themselves; None where they chose nothing, and
    before they are known.
    """
    value = getattr(request.state, "preferences", {}).get(name, "auto")
    return None if value == "auto" else str(value)


def _in_language(request: Request, lang: str) -> str:
    """Return the query that shows this very page in another language; of the inbox, whose scripts
    go from page to page, what is in its path.
    """
    is_inbox = request.url.path.startswith("/inbox")
    rest = (
        []
        if is_inbox
        else [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    )
    return "?" + urlencode([*rest, ("lang", lang)])


def _read(file: Path) -> dict[str, str]:
    catalogue: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return catalogue
