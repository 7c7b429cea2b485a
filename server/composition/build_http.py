"""Builds `http/`: the endpoints, and the list of the routes."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute

from server.composition.application import Application
from server.errors import OmniError
from server.http.agent_preferences import AgentPreferences
from server.http.api import ops
from server.http.api.account import AccountApi
from server.http.api.attachments import Attachments
from server.http.api.audit import AuditLog
from server.http.api.canned_replies import CannedReplies
from server.http.api.conversations import Conversations
from server.http.api.events import Events
from server.http.api.integrations import IntegrationsApi
from server.http.api.ledger import LedgerApi
from server.http.api.me import Me
from server.http.api.own_tokens_api import OwnTokensApi
from server.http.api.people import PeopleApi
from server.http.api.sessions import Sessions
from server.http.api.status import StatusApi
from server.http.api.strangers import Strangers
from server.http.api.sync import SyncRunsApi
from server.http.api.uploads import Uploads
from server.http.api.webhook import Webhook
from server.http.api.websocket import Sockets
from server.http.guard import Guard
from server.http.pages.account_pages import AccountPages
from server.http.pages.admin_integrations import IntegrationPages
from server.http.pages.admin_people import PeoplePages
from server.http.pages.inbox_pages import InboxPages
from server.http.pages.page_frame import PageFrame
from server.http.pages.page_shell import PageShell
from server.http.pages.set_up_page import SetUpPages
from server.http.pages.sign_in_pages import SignInPages
from server.http.rate_limits import ApiLimits
from server.http.request_pipeline import RequestPipeline
from server.web_folder import web_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """The routes, and the parts that other rooms and tests ask for. `error_page` shows an error to
    people.
    """

    guard: Guard
    webhook: Webhook
    routes: list[BaseRoute]
    error_page: Callable[[Request, OmniError], Response]


def build_http(parts: Application) -> Http:
    """Builds the endpoints on everything else."""
    settings = parts.resources.settings
    limits = ApiLimits(
        agent_per_minute=settings.api_requests_per_minute,
        company_per_minute=settings.api_requests_per_minute_company,
    )
    pipeline = RequestPipeline(parts.access.access, limits, parts.foreign_access)
    guard = Guard(
        pipeline, parts.access.access, parts.live.feeds, parts.crm_writes.watch.tag_suffix
    )
    strangers = Strangers(
        settings.webhook_strangers_per_minute, settings.webhook_strangers_max_bytes
    )
    webhook = Webhook(
        parts.deliveries.recorder,
        parts.integrations.directory,
        settings.webhook_max_bytes,
        strangers,
        parts.resources.observer,
    )
    frame = PageFrame(web_folder())
    routes = _routes(parts, guard, pipeline, frame)
    return Http(guard=guard, webhook=webhook, routes=routes, error_page=frame.error)


def _routes(
    parts: Application, guard: Guard, pipeline: RequestPipeline, frame: PageFrame
) -> list[BaseRoute]:
    settings, database = parts.resources.settings, parts.resources.database
    access, live, integrations = parts.access, parts.live, parts.integrations
    sessions = Sessions(
        guard,
        access.access,
        access.sign_in,
        hours=settings.session_hours,
        is_secure=settings.base_url.startswith("https:"),
    )
    checkup = parts.operation.checkup
    sockets = Sockets(
        access.access, live.feeds, live.hub, live.presence, settings, parts.operation.health
    )
    return [
        *_conversations(parts, guard),
        *Events(guard, live.feeds, database).routes(),
        *sessions.routes(),
        *Me(guard, database, live.feeds, live.presence).routes(),
        *CannedReplies(guard, database).routes(),
        *IntegrationsApi(guard, integrations.service, checkup, settings).routes(),
        WebSocketRoute("/ws", sockets.serve),
        *ops.routes(parts.operation.health.report, settings.base_url, settings.operation_token),
        *SyncRunsApi(guard, parts.comparisons.sync_runs).routes(),
        *PeopleApi(guard, access.people, sessions.cookie).routes(),
        *AccountApi(guard, access.sign_in).routes(),
        *OwnTokensApi(guard, integrations.own_token_connections, integrations.own_tokens).routes(),
        *_pages(parts, guard, pipeline, sessions, frame),
    ]


def _conversations(parts: Application, guard: Guard) -> list[BaseRoute]:
    """The routes of conversations, their replies and their files."""
    resources, outgoing = parts.resources, parts.outgoing
    conversations = Conversations(
        guard,
        parts.inbox,
        outgoing.reply_intake,
        parts.comparisons.sync,
        Uploads(resources.settings.upload_max_bytes),
        resources.observer,
    )
    directory = parts.integrations.directory
    attachments = Attachments(
        guard, resources.database, directory, resources.files, outgoing.reply_files
    )
    return [*conversations.routes(), *attachments.routes()]


def _pages(
    parts: Application,
    guard: Guard,
    pipeline: RequestPipeline,
    sessions: Sessions,
    frame: PageFrame,
) -> list[BaseRoute]:
    settings, database = parts.resources.settings, parts.resources.database
    access, integrations, operation = parts.access, parts.integrations, parts.operation
    preferences = AgentPreferences(database)
    shell = PageShell(frame, preferences, pipeline)
    inbox_pages = InboxPages(
        frame,
        shell,
        preferences,
        inbox=parts.inbox,
        replies=parts.outgoing.reply_intake,
        feeds=parts.live.feeds,
        directory=integrations.directory,
        own_tokens=integrations.own_tokens,
        upload_max_bytes=settings.upload_max_bytes,
    )
    integration_pages = IntegrationPages(
        shell,
        integrations.service,
        operation.checkup,
        parts.comparisons.sync_runs,
        settings,
        integrations.form_tokens,
    )
    return [
        *SignInPages(frame, pipeline, access.sign_in, sessions, access.first_run).routes(),
        *integration_pages.routes(),
        *PeoplePages(
            shell, access.people, integrations.own_token_connections, sessions.cookie
        ).routes(),
        *AccountPages(
            shell,
            access.people,
            access.sign_in,
            integrations.own_token_connections,
            sessions.cookie,
        ).routes(),
        *SetUpPages(shell, access.first_run, sessions.cookie).routes(),
        *LedgerApi(guard, shell, operation.ledger, operation.erasure).routes(),
        *StatusApi(guard, shell, operation.status).routes(),
        *AuditLog(guard, shell, database).routes(),
        *inbox_pages.routes(),
    ]
