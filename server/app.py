"""The application: the one module that knows everybody. Wires the parts, runs the services, lists
the routes.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from server import log, metrics
from server.access.authentication import Access
from server.access.first_run import SetUp
from server.access.foreign_access import Trespass
from server.access.people_administration import People
from server.access.sign_in import SignIn
from server.chatwoot import (
    UPLOAD_SECONDS,
    AnswerMemory,
    ChatwootClient,
    ReadRetries,
    RequestBudget,
    RequestBudgets,
    SlowBudget,
    Timeouts,
    outgoing_client,
)
from server.chatwoot.cable import CableNetwork
from server.chatwoot.files import Files
from server.core.state.entities import Json
from server.db.access.accounts import Agent, Integration
from server.db.access.installation import read_installation
from server.db.access.vault import Vault
from server.db.engine.database import Database
from server.db.engine.write_probe import WriteProbe
from server.db.journal.spool import Spool
from server.db.state import store
from server.errors import DatabaseUnavailable, NotFound, OmniError
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
from server.http.api.people import PeopleApi
from server.http.api.sessions import Sessions
from server.http.api.status import StatusApi
from server.http.api.strangers import Strangers
from server.http.api.sync import SyncRunsApi
from server.http.api.uploads import Uploads
from server.http.api.webhook import Webhook
from server.http.api.websocket import Sockets
from server.http.guard import Guard
from server.http.http_protocol import NOTE_PROXY
from server.http.middleware import Application, Outermost
from server.http.pages import inbox_pages
from server.http.pages.account_pages import AccountPages
from server.http.pages.admin_integrations import IntegrationPages
from server.http.pages.admin_people import PeoplePages
from server.http.pages.admin_shell import AdminShell
from server.http.pages.page_data import ServerPageData
from server.http.pages.page_frame import PageFrame
from server.http.pages.set_up_page import SetUpPages
from server.http.pages.sign_in_pages import SignInPages
from server.http.pages.web_folder import web_folder
from server.http.rate_limits import ApiLimits
from server.http.responses import problem_answer
from server.incoming.agents_last_seen import AgentsLooks
from server.incoming.cable_leader import CableLeader
from server.incoming.cable_link import Hints
from server.incoming.crm_integrations import CrmIntegrations
from server.incoming.crm_rows import CrmRows
from server.incoming.crm_watch import CrmWatch
from server.incoming.dead_deliveries import FailedDeliveries
from server.incoming.full_sync import Sync
from server.incoming.gone_contacts import GoneContacts
from server.incoming.gone_conversations import GoneConversations
from server.incoming.history_walk import START_REQUESTS, DeepWalk
from server.incoming.ingest import Ingester
from server.incoming.integration_watch import Watch
from server.incoming.live_sources import Sources
from server.incoming.losses import Losses
from server.incoming.reconcile import Reconcile
from server.incoming.recorder import Recorder
from server.incoming.sync_jobs import SyncRuns
from server.incoming.unstored_retries import UnstoredRetries
from server.integrations.arrivals import Arrivals
from server.integrations.checks import Checkup
from server.integrations.directory import Directory
from server.integrations.file_trials import FileTrial
from server.integrations.form_tokens import FormTokens
from server.integrations.proofs import Proofs
from server.integrations.service import Integrations
from server.integrations.trials import Trial
from server.live.bus import Bus
from server.live.connection import CLOSE_EXPIRED, CLOSE_NOT_ALLOWED
from server.live.feed import FeedLimits, Feeds
from server.live.hub import Hub
from server.live.presence import Presence, Viewer
from server.operation import doctor
from server.operation.company_status import CompanyStatus
from server.operation.delivery_ledger import Ledger
from server.operation.erasure import Erasure
from server.operation.fanout_log import ReachKeeper
from server.operation.health import Health
from server.operation.retention import Retention
from server.operation.schema_watch import SchemaWatch
from server.operation.search_text_filler import SearchTexts
from server.operation.standstill import Standstill
from server.outgoing.last_seen import LastSeen
from server.outgoing.replies import Replies
from server.outgoing.reply_files import ReplyFiles
from server.outgoing.reply_traces import TracedClient
from server.reading.inbox import Inbox
from server.settings import WEBHOOK_PATH, Settings
from server.tasks import Services, spawn
from server.traces import FanOuts, Traces

_logger = log.get(__name__)
_IDENTIFY_SECONDS, _IDENTIFY_RETRY_SECONDS = 30.0, 0.5
# as people type it; Chatwoot follows no redirect before 4.14
_WEBHOOK_PATHS = (WEBHOOK_PATH, f"{WEBHOOK_PATH}/")
_ACCESS = "access"  # the bus' topic of withdrawn access
# what `serve` finds in the lifespan's state, and calls when it is to stop
START_DRAINING = "start_draining"


class Parts:
    """Everything of one process, made but not yet running."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database.from_settings(settings)
        self.spool = Spool(settings.spool_path, settings.spool_max_bytes)
        limits_to_chatwoot = httpx.Limits(max_connections=50, max_keepalive_connections=20)
        self.http = outgoing_client(
            allows_private=settings.chatwoot_allow_private,
            limits=limits_to_chatwoot,
            private_hosts=settings.private_hosts,
            proxy=settings.outgoing_proxy,
        )
        self.files = Files(
            allows_private=settings.chatwoot_allow_private,
            private_hosts=settings.file_hosts,
            most_bytes=settings.attachment_max_bytes,
            chatwoot_hosts=settings.private_hosts,
            proxy=settings.outgoing_proxy,
        )
        self.reach = ReachKeeper(self.database)
        self.traces = Traces() if settings.has_traces else None
        self._fan_outs = FanOuts(self.traces) if self.traces else None
        self.hub = Hub(self._on_walked if self._fan_outs or log.is_debug() else self.reach.note)
        self.bus = Bus(settings.broadcast_url, on_up=lambda: self.feeds.check_soon())
        limits = FeedLimits(settings.feed_ring_events, settings.feed_ring_bytes)
        self.feeds = Feeds(self.database, self.bus, self.hub, limits, settings.head_check_seconds)
        self.trespass = Trespass(self.database)
        self.presence = Presence(self.hub, self.bus, self._company_of, self._on_foreign)
        self.feeds.on_note, self.feeds.on_watch = self.presence.on_note, self.presence.watch
        if self._fan_outs:
            self.feeds.on_traced = self._fan_outs.expect
        self.vault = Vault(settings.secret_key, settings.old_secret_keys)
        self.directory = Directory(
            self.database,
            self.vault,
            tolerance_seconds=settings.signature_tolerance_seconds,
            require_signature=settings.require_webhook_signature,
        )
        self.access = Access(self.database, settings, self._on_changed, self._on_ended)
        self.access.connected, self.access.on_keys, self.access.on_confirmed = (
            self.hub.agent_ids,
            self._on_keys,
            self.hub.release,
        )
        self.hub.is_current = lambda: self.access.is_current
        if self.bus.is_shared:
            self.access.announce = partial(self.bus.tell, _ACCESS)
            self.bus.follow(_ACCESS, self.access.hear)
        publish = self.feeds.publish
        self.arrivals = Arrivals()
        self.ingester = Ingester(
            self.database,
            self.directory,
            publish,
            batch=settings.ingest_batch,
            attempts=settings.ingest_attempts,
            on_typing=lambda company_id, typing: self.presence.show_typing(company_id, typing),
            arrivals=self.arrivals,
            traces=self.traces,
        )
        self.recorder = Recorder(
            self.database,
            self.spool,
            self.ingester.wake,
            self.traces,
            may_judge=lambda: self.directory.is_loaded,
        )
        self.agents_looks = AgentsLooks(self.database, self.ingester, self.impatient_client_of)
        self.gone_contacts = GoneContacts(self.database, self.impatient_client_of, publish)
        crm_integrations = CrmIntegrations(self.database, self.vault, self.directory)
        self.crm_rows = CrmRows(
            self.database,
            publish,
            check_heads=self.feeds.check_soon,
            on_integrations=crm_integrations.take,
        )
        self.crm_watch = CrmWatch(
            self.database,
            settings.database_url,
            watched=lambda: self.feeds.companies,
            check_heads=self.feeds.check_soon,
        )
        network = CableNetwork(
            allows_private=settings.chatwoot_allow_private,
            private_hosts=settings.private_hosts,
            proxy=settings.outgoing_proxy,
            most_bytes=settings.webhook_max_bytes,
        )
        self.cables = CableLeader(
            self.database,
            self.directory,
            network,
            self.impatient_client_of,
            self.recorder.append,
            is_on=settings.chatwoot_sockets,
            pause_seconds=settings.chatwoot_socket_wait_seconds,
            hints=Hints(self.agents_looks.note, self.gone_contacts.note),
        )
        self.sources = Sources(self.directory, self.cables, self.ingester, self.arrivals)
        self.last_seen = LastSeen(self.database, self.directory, self.impatient_client_of, publish)
        self.inbox = Inbox(
            self.database, self.directory, publish, self.client_of, self.last_seen.note
        )
        self.reply_files = ReplyFiles(self.database)
        self.replies = Replies(
            self.database,
            self.directory,
            publish,
            self.client_of,
            self.reply_files,
            patience_seconds=settings.reply_patience_seconds,
            certain_seconds=settings.reply_certain_seconds,
            longest_seconds=2 * settings.chatwoot_timeout_seconds + UPLOAD_SECONDS,
        )
        self.proofs = Proofs(
            self.database, self.vault, self.directory, self.impatient_client_of, settings
        )
        file_trial = FileTrial(self.impatient_client_of, self.files)
        trial = Trial(self.impatient_client_of, file_trial)
        self.integrations = Integrations(
            self.database, self.vault, self.directory, self.client_of, self.proofs, trial, settings
        )
        self.losses = Losses(self.database, settings.webhook_lost_seconds)
        self.checkup = Checkup(
            self.impatient_client_of, self.proofs, file_trial, settings, self.losses.recent_delay
        )
        self.status = CompanyStatus(
            self.database,
            self.directory,
            self.spool,
            online=lambda company_id: len(self.presence.online(company_id)),
            problems=self._problems_of_integrations,
            parts=lambda: self.health.parts(),
            source_of=lambda one: self.sources.of(one),
            delay=self.arrivals.delay_seconds,
        )
        self.limits = ApiLimits(
            agent_per_minute=settings.api_requests_per_minute,
            company_per_minute=settings.api_requests_per_minute_company,
        )
        self.erasure = Erasure(self.database, self.directory, self.client_of)
        self.ledger = Ledger(self.database, self.directory)
        self.people = People(
            self.database,
            self.access,
            lambda token: f"{settings.base_url}/invitation?token={token}",
        )
        self.sign_in = SignIn(self.database, self.access, self.vault)
        self.set_up = SetUp(self.database, self.access, f"{settings.base_url}/setup")
        self.sync = Sync(self.database, self.directory, self.ingester, self.client_of)
        self.failed = FailedDeliveries(self.database, settings.ingest_attempts)
        self.unstored_retries = UnstoredRetries(
            self.ingester.unstored, self.directory, self.sync, self.client_of
        )
        per_hour = settings.history_requests_per_hour
        wait = START_REQUESTS * 3_600.0 / per_hour if per_hour else 0.0
        slow = (self.database, self.directory, self.sync, self.slow_client_of)
        self.deep_walk = DeepWalk(*slow, is_on=per_hour > 0, start_seconds=min(60.0, wait))
        self.sync_runs = SyncRuns(self.database, self.directory, self.sync, self.presence.show_sync)
        self.reconcile = Reconcile(
            self.database, self.directory, self.ingester, self.client_of, settings, self.arrivals
        )
        gone = GoneConversations(
            self.database,
            self.client_of,
            publish,
            settings.integration_watch_seconds,
            self.agents_looks.take,
        )
        self.watch = Watch(
            self.database,
            self.vault,
            self.directory,
            self.impatient_client_of,
            self.integrations,
            gone,
            settings,
        )
        self.retention = Retention(
            self.database,
            event_days=settings.event_days,
            journal_days=settings.journal_days,
            audit_days=settings.audit_days,
        )
        self.services = Services()
        self.standstill = Standstill(self.database)
        self.health = Health(
            self.services,
            self.database,
            self.bus,
            self.spool,
            self.recorder,
            self.hub,
            self._more_problems,
            lambda: doctor.look_at_disks(settings),
            waiting_seconds=lambda: self.standstill.seconds,
            locked=self.database.busy.locked,
            sources=lambda: self.sources.report(),
            more_notes=self.crm_watch.notes,
        )
        metrics.database_waiting.set_function(lambda: self.database.waiting)
        metrics.record_waiting.set_function(lambda: self.recorder.waiting)
        metrics.feeds_open.set_function(lambda: len(self.feeds.companies))
        self._budgets = RequestBudgets(per_minute=settings.chatwoot_requests_per_minute)
        self._answer_memory = AnswerMemory(settings.chatwoot_answers_max_bytes)

    def client_of(
        self,
        integration: Integration,
        retries: ReadRetries | None = None,
        budget: RequestBudget | None = None,
    ) -> ChatwootClient:
        seconds = self.settings.chatwoot_timeout_seconds
        make: Callable[..., ChatwootClient] = (
            partial(TracedClient, self.traces) if self.traces else ChatwootClient
        )
        return make(
            base_url=integration.base_url,
            account_id=integration.account_id or 0,
            access_token=integration.access_token,
            http=self.http,
            budget=budget or self._budgets.of(integration.base_url),
            memory=self._answer_memory,
            company_id=integration.company_id,
            timeouts=Timeouts(
                read=seconds, total=2 * seconds, work=self.settings.reply_certain_seconds
            ),
            retries=retries,
        )

    def slow_client_of(self, integration: Integration) -> ChatwootClient:
        """For the comparison of all history."""
        shared, per_hour = (
            self._budgets.of(integration.base_url),
            self.settings.history_requests_per_hour,
        )
        return self.client_of(integration, budget=SlowBudget(shared, max(1.0, per_hour)))

    def impatient_client_of(self, integration: Integration) -> ChatwootClient:
        """For a person who waits for the answer: one try, whose failure is the answer."""
        return self.client_of(integration, ReadRetries(attempts=1))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Parts"]:
        """Connections, without services: what a command needs."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.database)
            await stack.enter_async_context(self.http)
            await stack.enter_async_context(self.bus)
            yield self

    @asynccontextmanager
    async def running(self, *, is_serving: bool = False) -> AsyncIterator["Parts"]:
        """Connections and services: what a serving process needs, and a worker. Starts with the
        database or Redis absent, too.
        """
        async with AsyncExitStack() as stack:
            if self.traces:
                stack.push_async_callback(asyncio.to_thread, self.traces.close)
            await stack.enter_async_context(self.opened())
            await stack.enter_async_context(self.spool)
            await stack.enter_async_context(self.files)
            await stack.enter_async_context(self.set_up)
            services = await stack.enter_async_context(self.services)
            for name, run in (
                ("schema", SchemaWatch(self.database, self.settings.database_url, self.health).run),
                ("write-probe", WriteProbe(self.database).run),
                ("health", self.health.run),
                ("standstill", self.standstill.run),
                ("doctor", self._look_once),
                ("installation", self._identify),
                ("bus", self.bus.run),
                ("bus-canary", self.bus.run_canary),
                ("directory", self.directory.run),
                ("recorder", self.recorder.run),
                ("drain", self.recorder.run_drain),
                ("ingest", self.ingester.run),
                ("feeds", self.feeds.run),
                ("hub", self.hub.run),
                ("access", self.access.run),
                ("presence", self.presence.run),
                ("replies", self.replies.run),
                ("reconcile", self.reconcile.run),
                ("losses", self.losses.run),
                ("history", self.deep_walk.run),
                ("failed-deliveries", self.failed.run),
                ("unstored", self.unstored_retries.run),
                ("watch", self.watch.run),
                ("last-seen", self.last_seen.run),
                ("agents-looks", self.agents_looks.run),
                ("gone-contacts", self.gone_contacts.run),
                ("retention", self.retention.run),
                ("search-texts", SearchTexts(self.database).run),
                ("crm-rows", self.crm_rows.run),
                ("crm-watch", self.crm_watch.run),
                ("sockets-to-chatwoot", self.cables.run),
                ("reach", self.reach.run),
                ("sync-runs", self.sync_runs.run),
                ("proofs", self.proofs.run),
            ):
                services.start(name, run)
            if is_serving:  # a page there is shown its address
                services.start("set-up", self.set_up.run)
            yield self

    def report(self) -> Json:
        """The body of `/readyz`."""
        return self.health.report()

    def _problems_of_integrations(self) -> list[str]:
        unstored = [*self.failed.problems(), *self.ingester.unstored.problems()]
        return [
            *unstored,
            *self.watch.problems(),
            *self.reconcile.problems(),
            *self.sources.problems(),
        ]

    def _more_problems(self) -> list[str]:
        unusable = [
            f"integration {i.id}: {i.problem}"
            for i in self.directory.integrations.values()
            if i.problem
        ]
        held = (
            ["whether access was withdrawn cannot be looked up: events are held back, and follow"]
            if self.hub.is_holding
            else []
        )
        return [*self._problems_of_integrations(), *unusable, *held]

    async def _identify(self) -> None:
        """The bus is told which installation it belongs to; again now and then, as a restored
        backup may say another one.
        """
        while self.bus.is_shared:
            try:
                self.bus.identify(await read_installation(self.database))
            except DatabaseUnavailable:
                await asyncio.sleep(_IDENTIFY_RETRY_SECONDS)
            else:
                await asyncio.sleep(_IDENTIFY_SECONDS)
        await asyncio.Event().wait()  # a service that ends would be started again

    async def _look_once(self) -> None:
        """After the start: whether what we run on is fit for what we promise, as `omni-inbox
        doctor` would say.
        """
        for finding in await doctor.examine(self.settings, self.database, processes=1):
            if finding.state != "ok":
                _logger.warning(
                    "not fit", what=finding.name, problem=finding.text, remedy=finding.remedy
                )
        await asyncio.Event().wait()  # a service that ends would be started again

    async def _company_of(self, conversation_id: int) -> int | None:
        return await self.database.read(lambda c: store.read_company(c, conversation_id))

    def _on_foreign(self, viewer: Viewer, conversation_id: int) -> None:
        spawn(
            self.trespass.note_frame(
                viewer.company_id, viewer.agent_id, viewer.agent_name, conversation_id
            ),
            "trespass",
        )

    def _on_walked(
        self,
        company_id: int,
        first_seq: int,
        last_seq: int,
        began: float,
        ended: float,
        sockets: int,
    ) -> None:
        """In place of the hub's direct way to `reach`, where walks are traced or logged one by
        one.
        """
        self.reach.note(company_id, first_seq, last_seq, began, ended, sockets)
        if self._fan_outs:
            self._fan_outs.note(company_id, first_seq, last_seq, began, ended, sockets)
        about = {
            "company_id": company_id,
            "first_seq": first_seq,
            "last_seq": last_seq,
            "sockets": sockets,
        }
        _logger.debug("fan-out", **about, ms=round((ended - began) * 1e3, 3))

    def _on_changed(self, agent: Agent) -> None:
        """An agent's sockets are judged by what the row says now."""
        for member in self.hub.members_of_agent(agent.id):
            if not agent.is_active or member.issued_us < agent.valid_after_us:
                member.close(CLOSE_NOT_ALLOWED, "access withdrawn")
            elif agent.role != "admin":
                member.is_admin = False

    def _on_keys(self, names: Collection[str]) -> None:
        """Sign in again: the key that this sign-in was verified by is no more."""
        for member in self.hub.everyone():
            if member.token_key is not None and member.token_key not in names:
                member.close(CLOSE_EXPIRED, "key withdrawn")

    def _on_ended(self, session_keys: Collection[str]) -> None:
        for member in self.hub.everyone():
            if member.session_key in session_keys:
                member.close(CLOSE_NOT_ALLOWED, "access withdrawn")


def create_app(settings: Settings) -> Starlette:
    """The ASGI application of one process."""
    parts = Parts(settings)
    guard = Guard(
        parts.access, parts.feeds, parts.limits, parts.trespass, parts.crm_watch.tag_suffix
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Callable[..., None]]]:
        async with parts.running(is_serving=True):
            # what the start has made stays: looking at all of it again in each full collection
            # stopped every socket for a tenth of a second
            gc.collect()
            gc.freeze()
            _logger.info(
                "serving", database=parts.database.dialect, bus=settings.broadcast_url.split(":")[0]
            )
            yield {START_DRAINING: parts.health.start_draining, NOTE_PROXY: parts.health.note_proxy}

    strangers = Strangers(
        settings.webhook_strangers_per_minute, settings.webhook_strangers_max_bytes
    )
    webhook = Webhook(
        parts.recorder, parts.directory, settings.webhook_max_bytes, strangers, parts.traces
    )
    around = partial(
        Outermost,
        unchanged=guard.unchanged,
        direct={("POST", path): webhook for path in _WEBHOOK_PATHS},
        is_https=settings.base_url.startswith("https:"),
    )
    app = Application(
        around,
        routes=[Route(WEBHOOK_PATH, webhook, methods=["POST"]), *_routes(parts, guard)],
        lifespan=lifespan,
        exception_handlers={OmniError: _on_problem, HTTPException: _on_http_error},
    )
    # the address it would lead to is made of the request's own Host
    app.router.redirect_slashes = False
    app.state.parts, app.state.public_urls = parts, parts.access.public_urls
    return app


def from_environment() -> Starlette:
    """Factory for uvicorn's worker processes."""
    settings = Settings.from_environment()
    log.configure(settings.log_level, settings.log_format)
    return create_app(settings)


def _routes(parts: Parts, guard: Guard) -> list[BaseRoute]:
    settings = parts.settings
    is_secure = settings.base_url.startswith("https:")
    sessions = Sessions(
        guard, parts.access, parts.sign_in, hours=settings.session_hours, is_secure=is_secure
    )
    of_pages = (parts.database, parts.limits, parts.set_up, parts.sign_in, sessions)
    page_data = ServerPageData(
        parts.access, parts.feeds, parts.inbox, parts.replies, *of_pages, parts.directory
    )
    frame = PageFrame(web_folder())
    return [
        *Conversations(
            guard,
            parts.inbox,
            parts.replies,
            parts.sync,
            Uploads(settings.upload_max_bytes),
            parts.traces,
        ).routes(),
        *Events(guard, parts.feeds, parts.database).routes(),
        *sessions.routes(),
        *Me(guard, parts.database, parts.feeds, parts.presence).routes(),
        *Attachments(
            guard, parts.database, parts.directory, parts.files, parts.reply_files
        ).routes(),
        *CannedReplies(guard, parts.database).routes(),
        *IntegrationsApi(guard, parts.integrations, parts.checkup, settings).routes(),
        WebSocketRoute(
            "/ws",
            Sockets(
                parts.access, parts.feeds, parts.hub, parts.presence, settings, parts.health
            ).serve,
        ),
        *ops.routes(parts.report, settings.base_url, settings.operation_token),
        *SyncRunsApi(guard, parts.sync_runs).routes(),
        *PeopleApi(guard, parts.people, sessions.cookie).routes(),
        *AccountApi(guard, parts.sign_in).routes(),
        *SignInPages(frame, lambda request: page_data).routes(),
        *_admin_pages(
            parts,
            guard,
            sessions,
            AdminShell(frame, page_data, parts.access, parts.limits, parts.trespass),
        ),
        *inbox_pages.Pages(frame, lambda request: page_data).routes(),
    ]


def _form_tokens(parts: Parts) -> FormTokens:
    return FormTokens(parts.vault, has_key=bool(parts.settings.secret_key))


def _admin_pages(
    parts: Parts, guard: Guard, sessions: Sessions, shell: AdminShell
) -> list[BaseRoute]:
    return [
        *IntegrationPages(
            shell,
            parts.integrations,
            parts.checkup,
            parts.sync_runs,
            parts.settings,
            _form_tokens(parts),
        ).routes(),
        *PeoplePages(shell, parts.people, sessions.cookie).routes(),
        *AccountPages(shell, parts.people, parts.sign_in, sessions.cookie).routes(),
        *SetUpPages(shell, parts.set_up, sessions.cookie).routes(),
        *LedgerApi(guard, shell, parts.ledger, parts.erasure).routes(),
        *StatusApi(guard, shell, parts.status).routes(),
        *AuditLog(guard, shell, parts.database).routes(),
    ]


async def _on_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, OmniError):
        raise error
    return problem_answer(error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    problem = OmniError(error.detail) if error.status_code != 404 else NotFound()
    problem.status, problem.title = error.status_code, error.detail
    problem.code = {404: "not_found", 405: "method_not_allowed"}.get(
        error.status_code, "http_error"
    )
    return problem_answer(problem, error.headers)
