"""Canned replies over REST: every agent of the company reads them, administrators write them."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.access.authentication import Principal, actor_of
from server.core.state.canned_reply_rules import (
    MAX_CANNED_REPLIES,
    CannedReply,
    checked_content,
    checked_shortcut,
)
from server.core.times import wall_now_us
from server.core.wire.rest_schema import NewCannedReply
from server.db.access import audit_log, canned_reply_rows
from server.db.engine.database import Connection, Database
from server.errors import (
    Conflict,
    DuplicateRow,
    Forbidden,
    NotFound,
    Unprocessable,
)
from server.http.bodies import read_struct
from server.http.guard import Guard
from server.http.responses import json_answer, path_number


class CannedReplies:
    """Serves the canned replies of a company."""

    def __init__(self, guard: Guard, database: Database) -> None:
        self._guard = guard
        self._database = database

    def routes(self) -> list[BaseRoute]:
        """The routes under `/api/canned-replies`."""
        agent, one = self._guard.agent, "/api/canned-replies/{id}"
        return [
            Route("/api/canned-replies", agent(self.list), methods=["GET"]),
            Route("/api/canned-replies", agent(self.add), methods=["POST"]),
            Route(one, agent(self.change), methods=["PUT"]),
            Route(one, agent(self.delete), methods=["DELETE"]),
        ]

    async def list(self, request: Request, principal: Principal) -> Response:
        """List all canned replies of the company."""
        company_id = principal.company_id
        return json_answer(
            await self._database.read(
                lambda c: canned_reply_rows.list_canned_replies(c, company_id)
            )
        )

    async def add(self, request: Request, principal: Principal) -> Response:
        """Add a canned reply: 201. One that is there with the same content is answered as if it
        were new. Raises Conflict for a shortcut that has another content.
        """
        _check_admin(principal)
        body = await read_struct(request, NewCannedReply)
        shortcut, content, company_id = (
            checked_shortcut(body.shortcut),
            checked_content(body.content),
            principal.company_id,
        )

        async def write(connection: Connection) -> CannedReply:
            known = await canned_reply_rows.read_by_shortcut(connection, company_id, shortcut)
            if known is not None and known.content == content:
                # also: this very call, made again because the answer to its COMMIT was lost
                return known
            if known is not None:
                raise DuplicateRow
            await _check_room(connection, company_id)
            number = await canned_reply_rows.add_canned_reply(
                connection, company_id, shortcut, content, wall_now_us()
            )
            await audit_log.append_act(
                connection,
                actor_of(principal),
                "canned-reply.add",
                f"canned reply {number}",
                shortcut=shortcut,
            )
            return CannedReply(number, shortcut, content)

        try:
            return json_answer(await self._database.transaction(write), 201)
        except DuplicateRow:
            raise _shortcut_conflict(shortcut) from None

    async def change(self, request: Request, principal: Principal) -> Response:
        """Replace shortcut and content. Raises NotFound, and Conflict for a shortcut of another
        one.
        """
        _check_admin(principal)
        body = await read_struct(request, NewCannedReply)
        reply = CannedReply(
            path_number(request, "id"),
            checked_shortcut(body.shortcut),
            checked_content(body.content),
        )

        async def write(connection: Connection) -> None:
            if not await canned_reply_rows.update_canned_reply(
                connection, principal.company_id, reply, wall_now_us()
            ):
                raise NotFound
            await audit_log.append_act(
                connection,
                actor_of(principal),
                "canned-reply.change",
                f"canned reply {reply.id}",
                shortcut=reply.shortcut,
            )

        try:
            await self._database.transaction(write)
        except DuplicateRow:
            raise _shortcut_conflict(reply.shortcut) from None
        return json_answer(reply)

    async def delete(self, request: Request, principal: Principal) -> Response:
        """Delete a canned reply: 204. Raises NotFound."""
        _check_admin(principal)
        reply_id = path_number(request, "id")

        async def write(connection: Connection) -> None:
            if not await canned_reply_rows.delete_canned_reply(
                connection, principal.company_id, reply_id
            ):
                raise NotFound
            await audit_log.append_act(
                connection, actor_of(principal), "canned-reply.delete", f"canned reply {reply_id}"
            )

        await self._database.transaction(write)
        return Response(status_code=204)


async def _check_room(connection: Connection, company_id: int) -> None:
    """Raises Unprocessable where the company has as many as it may have."""
    count = await canned_reply_rows.count_canned_replies(connection, company_id)
    if count >= MAX_CANNED_REPLIES:
        raise Unprocessable(
            f"A company has at most {MAX_CANNED_REPLIES} canned replies; delete one first"
        )


def _check_admin(principal: Principal) -> None:
    if principal.agent.role != "admin":
        raise Forbidden("Only an administrator may change the company's canned replies")


def _shortcut_conflict(shortcut: str) -> Conflict:
    return Conflict(
        f"There is a canned reply /{shortcut} already; change that one, or choose another shortcut"
    )
