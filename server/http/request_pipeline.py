"""What every request of an agent passes, of the API and of the pages alike: who asks, how often
they may, and a line in the audit log when they ask for what is another company's.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from server.access.authentication import Access, Principal
from server.access.foreign_access import ForeignAccessLog
from server.errors import Forbidden, NotFound, OmniError
from server.http.client_address import address_of
from server.http.rate_limits import ApiLimits
from server.problems import Text

AgentHandler = Callable[[Request, Principal], Awaitable[Response]]
Shortcut = Callable[[Request, Principal], Awaitable[Response | None]]


class RequestPipeline:
    """Runs handlers for the agent who asks. What goes wrong is raised: the API answers it as a
    problem, a page as a page.
    """

    def __init__(self, access: Access, limits: ApiLimits, foreign_access: ForeignAccessLog) -> None:
        self._access = access
        self._limits = limits
        self._foreign_access = foreign_access

    async def authenticate(self, request: Request, *, is_for_operation: bool = False) -> Principal:
        """Return who asks. Counts nothing. Raises and `is_for_operation`: as
        `Access.authenticate`.
        """
        return await self._access.authenticate(
            request.headers,
            request.method,
            address_of(request),
            is_for_operation=is_for_operation,
        )

    async def run(
        self,
        request: Request,
        handler: AgentHandler,
        *,
        is_for_operation: bool = False,
        shortcut: Shortcut | None = None,
    ) -> Response:
        """Run `authenticate`, then `admit`."""
        principal = await self.authenticate(request, is_for_operation=is_for_operation)
        return await self.admit(request, principal, handler, shortcut)

    async def admit(
        self,
        request: Request,
        principal: Principal,
        handler: AgentHandler,
        shortcut: Shortcut | None = None,
    ) -> Response:
        """Count the request against the limits, and return the handler's answer.

        `shortcut` may answer from memory, in place of the handler, and is not counted. Raises
        TooManyRequests and what the handler raises.
        """
        try:
            if shortcut is not None and (answer := await shortcut(request, principal)) is not None:
                return answer
            self._limits.check(principal)
            return await handler(request, principal)
        except OmniError as error:
            if error.status == NotFound.status:
                await self._foreign_access.record_request(
                    principal, request.method, request.url.path
                )
            raise

    def check(self, principal: Principal) -> None:
        """Count a request of a page that is shown without an agent, too. Raises
        TooManyRequests.
        """
        self._limits.check(principal)


def only_admins(handler: AgentHandler, refusal: Text) -> AgentHandler:
    """Return the handler, for administrators alone; others get Forbidden with the sentence."""

    async def answer(request: Request, principal: Principal) -> Response:
        if principal.agent.role != "admin":
            raise Forbidden(refusal)
        return await handler(request, principal)

    return answer
