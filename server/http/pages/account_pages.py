"""The page of an agent's own account: password, sign-ins, second factor, own tokens."""

from collections.abc import Callable
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.access.passwords import MIN_PASSWORD_CHARACTERS
from server.access.people_administration import People
from server.access.second_factor_setup import NewFactor
from server.access.sign_in import SignIn
from server.core.second_factor_rules import qr_address
from server.errors import NotFound, OmniError
from server.http.api.sessions import origin_of
from server.http.client_address import address_of
from server.http.pages.account_tokens import ACTS, by_account, carry_out
from server.http.pages.page_requests import redirect
from server.http.pages.page_shell import PageShell, done_of, form_of
from server.http.responses import path_number
from server.integrations.own_token_connections import OwnTokenConnections

_PAGE = "/account"
_DONE = ("password", "session", "others", "factor-off", *(f"token-{act}" for act in ACTS))


class AccountPages:
    """Serves the account's page and its forms; `cookie` makes a `Set-Cookie` value."""

    def __init__(
        self,
        shell: PageShell,
        people: People,
        sign_in: SignIn,
        own_tokens: OwnTokenConnections,
        cookie: Callable[[str], str],
    ) -> None:
        self._shell = shell
        self._people = people
        self._sign_in = sign_in
        self._own_tokens = own_tokens
        self._cookie = cookie

    def routes(self) -> list[BaseRoute]:
        """The routes under `/account`."""
        agent = self._shell.agent
        return [
            Route(_PAGE, agent(self.account)),
            Route(_PAGE + "/password", agent(self.password), methods=["POST"]),
            Route(_PAGE + "/sign-out", agent(self.sign_out), methods=["POST"]),
            Route(_PAGE + "/sessions/end-others", agent(self.end_others), methods=["POST"]),
            Route(_PAGE + "/sessions/{id}/end", agent(self.end_session), methods=["POST"]),
            Route(_PAGE + "/own-tokens/{id}/{act}", agent(self.own_token), methods=["POST"]),
            Route(_PAGE + "/second-factor", agent(self.new_factor), methods=["POST"]),
            Route(_PAGE + "/second-factor/confirm", agent(self.confirm), methods=["POST"]),
            Route(_PAGE + "/second-factor/off", agent(self.turn_off), methods=["POST"]),
        ]

    async def account(self, request: Request, principal: Principal) -> Response:
        """Show the page."""
        return await self._account(request, principal)

    async def password(self, request: Request, principal: Principal) -> Response:
        """Change the password; this browser stays signed in, all others are not."""
        form = await form_of(request)
        present, new = form.get("present", ""), form.get("new", "")
        try:
            cookie = await self._people.change_password(
                principal, present, new, address_of(request)
            )
        except OmniError as error:
            return await self._account(request, principal, error)
        response = _back("password")
        response.headers.append("Set-Cookie", self._cookie(cookie))
        return response

    async def sign_out(self, request: Request, principal: Principal) -> Response:
        """End all sign-ins of the agent, and show the sign-in."""
        await self._people.sign_out_everywhere(actor_of(principal), principal.agent.id)
        response = redirect("/sign-in")
        response.headers.append("Set-Cookie", self._cookie(""))
        return response

    async def end_session(self, request: Request, principal: Principal) -> Response:
        """End one sign-in."""
        try:
            await self._sign_in.end_session(
                principal, request.path_params["id"], origin_of(request)
            )
        except OmniError as error:  # it has ended meanwhile: the list says what is left
            return await self._account(request, principal, error)
        return _back("session")

    async def end_others(self, request: Request, principal: Principal) -> Response:
        """End all sign-ins but this one."""
        await self._sign_in.end_other_sessions(principal, origin_of(request))
        return _back("others")

    async def own_token(self, request: Request, principal: Principal) -> Response:
        """Connect the agent's own access token of Chatwoot, check it, or remove it. Raises NotFound
        for any other act.
        """
        form, act = await form_of(request), request.path_params["act"]
        place = path_number(request, "id")
        try:
            await carry_out(self._own_tokens, actor_of(principal), act, place, form)
        except NotFound:
            raise
        except OmniError as error:
            return await self._account(request, principal, error)
        return _back(f"token-{act}")

    async def new_factor(self, request: Request, principal: Principal) -> Response:
        """Begin to set up a second factor. The password is asked for once more: the browser may
        have been left open.
        """
        form = await form_of(request)
        try:
            new = await self._sign_in.factors.new_factor(
                principal.agent, form.get("password", ""), origin_of(request)
            )
        except OmniError as error:
            return await self._account(request, principal, error)
        return await self._account(request, principal, new=new)

    async def confirm(self, request: Request, principal: Principal) -> Response:
        """Switch the new factor on, and show the recovery codes this once."""
        form = await form_of(request)
        try:
            codes = await self._sign_in.factors.confirm(
                principal.agent, form.get("ticket", ""), form.get("code", ""), origin_of(request)
            )
        except OmniError as error:
            return await self._account(request, principal, error)
        return await self._account(request, principal, codes=codes)

    async def turn_off(self, request: Request, principal: Principal) -> Response:
        """Switch the second factor off, after the password once more."""
        form = await form_of(request)
        try:
            await self._sign_in.factors.turn_off(
                principal.agent, form.get("password", ""), origin_of(request)
            )
        except OmniError as error:
            return await self._account(request, principal, error)
        return _back("factor-off")

    async def _account(
        self,
        request: Request,
        principal: Principal,
        error: OmniError | None = None,
        *,
        new: NewFactor | None = None,
        codes: tuple[str, ...] = (),
    ) -> Response:
        return self._shell.render(
            request,
            "account.html",
            error.status if error else 200,
            principal=principal,
            min_password_length=MIN_PASSWORD_CHARACTERS,
            done=done_of(request, _DONE),
            trouble=error.problem if error else None,
            sessions=await self._sign_in.sessions(principal),
            factor=await self._sign_in.factors.factor_state(principal.agent),
            accounts=by_account(
                await self._own_tokens.list_own(principal.company_id, principal.agent.id)
            ),
            failures=await self._sign_in.failures(principal.agent),
            new=new,
            picture=qr_address(new.uri) if new else "",
            codes=codes,
        )


def _back(done: str) -> Response:
    return redirect(f"{_PAGE}?" + urlencode({"done": done}))
