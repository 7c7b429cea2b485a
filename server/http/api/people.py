"""Agents of a company over REST: administrators see, invite and change them; everybody changes
their own password.
"""

from collections.abc import Callable

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.access.people_administration import People
from server.core.state.entities import Json
from server.core.times import iso
from server.core.wire.admin_schema import NewInvitation, PersonChange, Policy
from server.core.wire.rest_schema import PasswordChange
from server.db.access.agent_rows import Agent
from server.db.access.invitations import Invitation
from server.http.bodies import read_struct
from server.http.client_address import address_of
from server.http.guard import Guard
from server.http.responses import json_answer, path_number


class PeopleApi:
    """Serves the agents of a company, and invitations; `cookie` makes a `Set-Cookie` value."""

    def __init__(self, guard: Guard, people: People, cookie: Callable[[str], str]) -> None:
        self._guard = guard
        self._people = people
        self._cookie = cookie

    def routes(self) -> list[BaseRoute]:
        """The routes of people, the policy, invitations and the own password."""
        admin, agent = self._guard.admin, self._guard.agent
        return [
            Route("/api/people", admin(self.list_all), methods=["GET"]),
            Route("/api/people/{id}", admin(self.change), methods=["PATCH"]),
            Route("/api/people/{id}/sessions", admin(self.sign_out), methods=["DELETE"]),
            Route(
                "/api/people/{id}/second-factor",
                admin(self.reset_second_factor),
                methods=["DELETE"],
            ),
            Route("/api/policy", admin(self.policy), methods=["GET"]),
            Route("/api/policy", admin(self.set_policy), methods=["PUT"]),
            Route("/api/invitations", admin(self.open_invitations), methods=["GET"]),
            Route("/api/invitations", admin(self.invite), methods=["POST"]),
            Route("/api/invitations/{id}", admin(self.end_invitation), methods=["DELETE"]),
            Route("/api/me/password", agent(self.password), methods=["PUT"]),
            Route("/api/me/sessions", agent(self.sign_out_everywhere), methods=["DELETE"]),
        ]

    async def list_all(self, request: Request, principal: Principal) -> Response:
        """List the company's agents, those who are disabled among them."""
        return json_answer(
            [_view(agent) for agent in await self._people.list_all(principal.company_id)]
        )

    async def change(self, request: Request, principal: Principal) -> Response:
        """Enable, disable, promote or demote an agent: 204. Fields that are absent stay."""
        given = await read_struct(request, PersonChange)
        await self._people.change(
            actor_of(principal),
            path_number(request, "id"),
            is_active=None if given.is_active is UNSET else given.is_active,
            role=None if given.role is UNSET else given.role,
        )
        return Response(status_code=204)

    async def sign_out(self, request: Request, principal: Principal) -> Response:
        """End all sign-ins of an agent: 204."""
        await self._people.sign_out_everywhere(actor_of(principal), path_number(request, "id"))
        return Response(status_code=204)

    async def invite(self, request: Request, principal: Principal) -> Response:
        """Invite a person: 201 with the link, which is shown this once."""
        new = await read_struct(request, NewInvitation)
        link, expires_us = await self._people.invite(
            actor_of(principal), new.email, new.name, new.role
        )
        return json_answer({"link": link, "expiresAt": iso(expires_us)}, 201)

    async def reset_second_factor(self, request: Request, principal: Principal) -> Response:
        """Switch an agent's second factor off, whose phone is lost: 204."""
        await self._people.reset_second_factor(actor_of(principal), path_number(request, "id"))
        return Response(status_code=204)

    async def policy(self, request: Request, principal: Principal) -> Response:
        """Answer whether the company asks every agent for a second factor."""
        is_required = await self._people.policy(principal.company_id)
        return json_answer({"requiresSecondFactor": is_required})

    async def set_policy(self, request: Request, principal: Principal) -> Response:
        """Set whether the company asks every agent for a second factor."""
        given = (await read_struct(request, Policy)).requires_second_factor
        await self._people.set_policy(actor_of(principal), requires_second_factor=given)
        return json_answer({"requiresSecondFactor": given})

    async def open_invitations(self, request: Request, principal: Principal) -> Response:
        """List the invitations that can still be accepted."""
        found = await self._people.open_invitations(principal.company_id)
        return json_answer([_invitation_view(one) for one in found])

    async def end_invitation(self, request: Request, principal: Principal) -> Response:
        """End an invitation: 204. Raises NotFound."""
        await self._people.end_invitation(actor_of(principal), request.path_params["id"])
        return Response(status_code=204)

    async def password(self, request: Request, principal: Principal) -> Response:
        """Change the own password: 204, with a new session's cookie; all other sign-ins end."""
        given = await read_struct(request, PasswordChange)
        cookie = await self._people.change_password(
            principal, given.present_password, given.new_password, address_of(request)
        )
        return Response(status_code=204, headers={"Set-Cookie": self._cookie(cookie)})

    async def sign_out_everywhere(self, request: Request, principal: Principal) -> Response:
        """End all own sign-ins, this one too: 204, with a cookie that clears it."""
        await self._people.sign_out_everywhere(actor_of(principal), principal.agent.id)
        return Response(status_code=204, headers={"Set-Cookie": self._cookie("")})


def _invitation_view(one: Invitation) -> Json:
    return {
        "id": one.id,
        "email": one.email,
        "name": one.name,
        "role": one.role,
        "invitedBy": one.invited_by,
        "expiresAt": iso(one.expires_us),
    }


def _view(agent: Agent) -> Json:
    return {
        "id": agent.id,
        "name": agent.name,
        "email": agent.email,
        "role": agent.role,
        "isActive": agent.is_active,
    }
