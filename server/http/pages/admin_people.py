"""The pages about people: a company's agents for its administrators, and the page behind an
invitation's link.
"""

from collections.abc import Callable
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.access.passwords import MIN_PASSWORD_CHARACTERS
from server.access.people_administration import People
from server.errors import Forbidden, NotFound, OmniError
from server.http.api.sessions import origin_of
from server.http.pages.page_requests import is_same_origin, redirect
from server.http.pages.page_shell import PageShell, done_of, form_of
from server.http.responses import path_number
from server.integrations.own_token_connections import OwnTokenConnections

_PAGE = "/admin/people"
_DONE = (
    "disable",
    "enable",
    "sign-out",
    "admin",
    "agent",
    "end-invitation",
    "reset-second-factor",
    "remove-own-tokens",
    "policy-on",
    "policy-off",
)


class PeoplePages:
    """Serves the pages of people and of invitations; `cookie` makes a `Set-Cookie` value."""

    def __init__(
        self,
        shell: PageShell,
        people: People,
        own_tokens: OwnTokenConnections,
        cookie: Callable[[str], str],
    ) -> None:
        self._shell = shell
        self._people = people
        self._own_tokens = own_tokens
        self._cookie = cookie

    def routes(self) -> list[BaseRoute]:
        """The routes under `/admin/people`, and `/invitation`, which is open to all."""
        admin, opened = self._shell.admin, self._shell.open
        return [
            Route(_PAGE, admin(self.list_page)),
            Route(_PAGE, admin(self.invite), methods=["POST"]),
            Route(_PAGE + "/invitations/{id}/end", admin(self.end_invitation), methods=["POST"]),
            Route(_PAGE + "/{id}/{act}", admin(self.act), methods=["POST"]),
            Route(_PAGE + "/policy", admin(self.policy), methods=["POST"]),
            Route("/invitation", opened(self.invitation)),
            Route("/invitation", opened(self.accept), methods=["POST"]),
        ]

    async def list_page(self, request: Request, principal: Principal) -> Response:
        """Show the company's agents and open invitations."""
        return await self._list(request, principal)

    async def invite(self, request: Request, principal: Principal) -> Response:
        """Invite a person. The link is on this page alone, once: only its hash is kept."""
        form = await form_of(request)
        try:
            link, _ = await self._people.invite(
                actor_of(principal),
                form.get("email", ""),
                form.get("name", ""),
                form.get("role", "agent"),
            )
        except OmniError as error:
            return await self._list(request, principal, trouble=error, form=form)
        return await self._list(request, principal, link=link, invited=form.get("email", ""))

    async def end_invitation(self, request: Request, principal: Principal) -> Response:
        """End an invitation that has not been used."""
        try:
            await self._people.end_invitation(actor_of(principal), request.path_params["id"])
        except NotFound as error:  # used or ended meanwhile: the list says what is left
            return await self._list(request, principal, trouble=error)
        return redirect(f"{_PAGE}?" + urlencode({"done": "end-invitation"}))

    async def policy(self, request: Request, principal: Principal) -> Response:
        """Ask every agent with a password for a second factor, or no longer."""
        is_on = (await form_of(request)).get("second_factor") == "on"
        await self._people.set_policy(actor_of(principal), requires_second_factor=is_on)
        return redirect(f"{_PAGE}?" + urlencode({"done": "policy-on" if is_on else "policy-off"}))

    async def act(self, request: Request, principal: Principal) -> Response:
        """Carry out the act that the address names on an agent. Raises NotFound for any other."""
        actor, place, act = (
            actor_of(principal),
            path_number(request, "id"),
            request.path_params["act"],
        )
        try:
            if act in ("enable", "disable"):
                await self._people.change(actor, place, is_active=act == "enable")
            elif act in ("admin", "agent"):
                await self._people.change(actor, place, role=act)
            elif act == "sign-out":
                await self._people.sign_out_everywhere(actor, place)
            elif act == "reset-second-factor":
                await self._people.reset_second_factor(actor, place)
            elif act == "remove-own-tokens":
                await self._own_tokens.remove_of(actor, place)
            else:
                raise NotFound
        except NotFound:
            raise
        except OmniError as error:
            return await self._list(request, principal, trouble=error)
        return redirect(f"{_PAGE}?" + urlencode({"done": act}))

    async def invitation(self, request: Request) -> Response:
        """Show the form behind an invitation's link. Raises NotFound for one that has ended."""
        return await self._invitation(request, request.query_params.get("token", ""), None)

    async def accept(self, request: Request) -> Response:
        """Make the agent, and sign them in where a session can be made for them."""
        if not is_same_origin(request):
            raise Forbidden
        form = await form_of(request)
        token = form.get("token", "")
        try:
            cookie = await self._people.accept(
                token, form.get("name", ""), form.get("password", ""), origin_of(request)
            )
        except NotFound:
            raise
        except OmniError as error:
            return await self._invitation(request, token, error)
        if cookie is None:
            return redirect("/sign-in")
        response = redirect("/inbox")
        response.headers.append("Set-Cookie", self._cookie(cookie))
        return response

    async def _list(
        self,
        request: Request,
        principal: Principal,
        *,
        trouble: OmniError | None = None,
        link: str = "",
        **shown: object,
    ) -> Response:
        return self._shell.render(
            request,
            "admin_people.html",
            trouble.status if trouble else 200,
            principal=principal,
            people=await self._people.list_all(principal.company_id),
            invitations=await self._people.open_invitations(principal.company_id),
            own_tokens=await self._own_tokens.list_company(principal.company_id),
            with_second_factor=await self._people.with_second_factor(principal.company_id),
            is_second_factor_required=await self._people.policy(principal.company_id),
            done=done_of(request, _DONE),
            trouble=trouble.problem if trouble else None,
            link=link,
            **{"form": {}, "invited": "", **shown},
        )

    async def _invitation(self, request: Request, token: str, error: OmniError | None) -> Response:
        invitation = await self._people.invitation(token)
        return self._shell.render(
            request,
            "invitation.html",
            error.status if error else 200,
            invitation=invitation,
            token=token,
            min_password_length=MIN_PASSWORD_CHARACTERS,
            trouble=error.problem if error else None,
        )
