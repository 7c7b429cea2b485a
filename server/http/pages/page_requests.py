"""What the pages read from a request besides its address, and the headers every answer of theirs
carries.
"""

import asyncio
import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from server.core.chatwoot.origins import is_own_origin
from server.core.pages.page_locale import LANGUAGES
from server.errors import BadRequest, Forbidden
from server.http.responses import read_body

THEMES = ("light", "dark")
YEAR_SECONDS = 365 * 24 * 3600
_MAX_FIELDS = 220  # a form of inboxes to choose has one each
SMALL_FORM_BYTES = 65_536
# the longest reply, every character of it three bytes, each byte escaped
MAX_FORM_BYTES = 2_000_000
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; worker-src "
        "'self'; "
        "img-src 'self' data:; font-src 'self'; media-src 'self'; manifest-src 'self'; "
        "form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types inbox"
    ),
    # not `no-referrer`: browsers would then send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE_HEADERS = {"Cache-Control": "private, no-cache", **SECURITY_HEADERS}


class NumberConvertor(Convertor[int]):
    """Converts `{name:number}` in a path: what fits our columns. Starlette's own `int` takes any
    number of digits, and dies of 5,000.
    """

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """Return the number; the regular expression admits digits alone."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Return the number as a path has it."""
        return str(value)


register_url_convertor("number", NumberConvertor())


def redirect(target: str) -> Response:
    """Return a 303 to the target, so that a reload does not send a form again."""
    return RedirectResponse(target, 303, headers=PAGE_HEADERS)


_COOKIES = {"language": ("omni_lang", LANGUAGES), "theme": ("omni_theme", (*THEMES, "auto"))}


def chosen_in_address(request: Request) -> dict[str, str]:
    """Return what `?lang=` and `?theme=` choose, by the names of the preferences."""
    given = {
        "language": request.query_params.get("lang"),
        "theme": request.query_params.get("theme"),
    }
    return {name: value for name, value in given.items() if value in _COOKIES[name][1]}


def without_choice(request: Request) -> str:
    """Return the address of the same page without `?lang=` and `?theme=`."""
    rest = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in ("lang", "theme")
    ]
    return request.url.path + (f"?{urlencode(rest)}" if rest else "")


def remember_appearance(response: Response, chosen: Mapping[str, object]) -> Response:
    """Set cookies for language and theme: pages before the sign-in have nothing else to go by.
    Returns the response.
    """
    for name, (cookie, values) in _COOKIES.items():
        if (value := chosen.get(name)) in values:
            response.set_cookie(cookie, str(value), max_age=YEAR_SECONDS, samesite="lax")
        elif name in chosen:
            response.delete_cookie(cookie)
    return response


def zone_of(request: Request) -> ZoneInfo:
    """Return the agent's time zone, as a script of theirs wrote it into a cookie; UTC for one that
    is unknown.
    """
    # a cookie is the visitor's to write: ZoneInfo refuses paths, and what it does not know reads as
    # UTC
    try:
        return ZoneInfo(request.cookies.get("omni_tz", ""))
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def path_of(request: Request) -> str:
    """Return the path and query of the request."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def inside(target: str) -> str:
    """Return the target if it is a page of ours, else the inbox: where to go on after signing in.
    `//elsewhere` and `/\\elsewhere` lead out.
    """
    ours = r"/(inbox(/c/\d+|/settings)?|account|admin/[a-z]+(/\d+)?)(\?[\w%=&.+~*-]*)?"
    return target if re.fullmatch(ours, target, re.ASCII) else "/inbox"


def is_same_origin(request: Request) -> bool:
    """Whether a form came from one of our pages: browsers say so themselves in headers no page can
    forge.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    public_urls: Collection[str] = getattr(request.app.state, "public_urls", ())
    here = f"{request.url.scheme}://{request.headers.get('host', '')}"
    return is_own_origin(request.headers, public_urls or (here,))


def check_same_origin(request: Request) -> None:
    """Raises Forbidden for a form that another page has sent."""
    if not is_same_origin(request):
        raise Forbidden


async def read_form(request: Request, max_bytes: int = SMALL_FORM_BYTES) -> dict[str, str]:
    """Return the fields of a submitted form, which anybody may send, so that it is short but where
    a reply is written. A long one is parsed in a thread: two megabytes of escapes take half a
    second. Raises TooLarge, BadRequest.
    """
    if (form := getattr(request.state, "form", None)) is not None:
        return dict(form)
    body = await read_body(request, max_bytes)
    try:
        fields = (
            _fields(body)
            if len(body) <= SMALL_FORM_BYTES
            else await asyncio.to_thread(_fields, body)
        )
    except ValueError:  # more fields than any form of ours has
        raise BadRequest from None
    request.state.form = {name: values[-1] for name, values in fields.items()}
    return dict(request.state.form)


def _fields(body: bytes) -> dict[str, list[str]]:
    return parse_qs(
        body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
    )
