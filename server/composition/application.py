"""A process put together: its rooms from below, what runs in it, how it is opened and closed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from server.access.confirmation import Confirmation
from server.access.foreign_access import ForeignAccessLog
from server.composition.build_access import AccessRoom, build_access
from server.composition.build_incoming import (
    Comparisons,
    CrmWrites,
    Deliveries,
    build_comparisons,
    build_crm_writes,
    build_deliveries,
)
from server.composition.build_integrations import IntegrationsRoom, build_integrations
from server.composition.build_live import Live, build_live
from server.composition.build_operation import Operation, build_operation
from server.composition.build_outgoing import Outgoing, build_outgoing, build_reading
from server.composition.build_resources import Resources, build_resources
from server.db.engine.write_probe import WriteProbe
from server.live.bus_identity import BusIdentity
from server.reading.inbox import Inbox
from server.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Everything of one process, made but not yet running."""

    resources: Resources
    foreign_access: ForeignAccessLog
    live: Live
    integrations: IntegrationsRoom
    access: AccessRoom
    deliveries: Deliveries
    comparisons: Comparisons
    crm_writes: CrmWrites
    outgoing: Outgoing
    inbox: Inbox
    operation: Operation

    def services(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """What runs for as long as the process lives, by the names that `/readyz` shows."""
        database, live, operation = self.resources.database, self.live, self.operation
        deliveries, comparisons, outgoing = self.deliveries, self.comparisons, self.outgoing
        return [
            ("schema", operation.schema_watch.run),
            ("write-probe", WriteProbe(database).run),
            ("health", operation.health.run),
            ("standstill", operation.standstill.run),
            ("doctor", operation.start_check.run),
            ("installation", BusIdentity(database, live.bus).run),
            ("bus", live.bus.run),
            ("bus-canary", live.bus.run_canary),
            ("directory", self.integrations.directory.run),
            ("recorder", deliveries.recorder.run),
            ("drain", deliveries.recorder.run_drain),
            ("ingest", deliveries.ingester.run),
            ("feeds", live.feeds.run),
            ("hub", live.hub.run),
            ("access", self.access.access.run),
            ("presence", live.presence.run),
            ("replies", outgoing.reply_sender.run),
            ("reconcile", comparisons.reconcile.run),
            ("losses", comparisons.losses.run),
            ("history", comparisons.history_comparison.run),
            ("failed-deliveries", deliveries.failed.run),
            ("unstored", comparisons.unstored_retries.run),
            ("watch", comparisons.watch.run),
            ("last-seen", outgoing.last_seen.run),
            ("typing-to-customers", outgoing.customer_typing.run),
            ("agents-looks", deliveries.agents_last_seen.run),
            ("gone-contacts", deliveries.gone_contacts.run),
            ("agent-renames", deliveries.agent_renames.run),
            ("retention", operation.retention.run),
            ("search-texts", operation.search_texts.run),
            ("crm-rows", self.crm_writes.rows.run),
            ("crm-watch", self.crm_writes.watch.run),
            ("sockets-to-chatwoot", deliveries.cables.run),
            ("reach", live.fanouts.run),
            ("sync-runs", comparisons.sync_runs.run),
            ("proofs", self.integrations.proofs.run),
        ]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Application"]:
        """Connections, without services: what a command needs."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.resources.database)
            await stack.enter_async_context(self.resources.http)
            await stack.enter_async_context(self.live.bus)
            yield self

    @asynccontextmanager
    async def running(self, *, is_serving: bool = False) -> AsyncIterator["Application"]:
        """Connections and services: what a serving process needs, and a worker. Starts with the
        database or Redis absent, too.
        """
        async with AsyncExitStack() as stack:
            if self.resources.observer.has_traces:
                stack.push_async_callback(asyncio.to_thread, self.resources.observer.close)
            await stack.enter_async_context(self.opened())
            await stack.enter_async_context(self.resources.spool)
            await stack.enter_async_context(self.resources.files)
            await stack.enter_async_context(self.access.first_run)
            services = await stack.enter_async_context(self.operation.services)
            for name, run in self.services():
                services.start(name, run)
            if is_serving:  # a page there is shown its address
                services.start("set-up", self.access.first_run.run)
            yield self


def build_application(settings: Settings) -> Application:
    """The rooms, from below: each is given what those before it have made."""
    resources, confirmation = build_resources(settings), Confirmation()
    foreign_access = ForeignAccessLog(resources.database)
    live = build_live(resources, foreign_access, confirmation.is_current)
    access = build_access(resources, live, confirmation)
    integrations = build_integrations(resources)
    deliveries = build_deliveries(resources, integrations, live)
    comparisons = build_comparisons(resources, integrations, live, deliveries)
    crm_writes = build_crm_writes(resources, integrations, live)
    outgoing = build_outgoing(resources, integrations, live)
    return Application(
        resources=resources,
        foreign_access=foreign_access,
        live=live,
        integrations=integrations,
        access=access,
        deliveries=deliveries,
        comparisons=comparisons,
        crm_writes=crm_writes,
        outgoing=outgoing,
        inbox=build_reading(resources, integrations, live, outgoing),
        operation=build_operation(
            resources, integrations, live, deliveries, comparisons, crm_writes
        ),
    )
