"""Builds `operation/`: what tells how the server does, and looks after what it keeps."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from server import metrics
from server.composition.build_incoming import Comparisons, CrmWrites, Deliveries
from server.composition.build_integrations import IntegrationsRoom
from server.composition.build_live import Live
from server.composition.build_resources import Resources
from server.integrations.checks import IntegrationChecks
from server.integrations.directory import Directory
from server.live.hub import Hub
from server.operation import doctor
from server.operation.company_status import CompanyStatus
from server.operation.delivery_ledger import Ledger
from server.operation.erasure import Erasure
from server.operation.health import Health
from server.operation.retention import Retention
from server.operation.schema_watch import SchemaWatch
from server.operation.search_text_filler import SearchTexts
from server.operation.standstill import Standstill
from server.operation.start_check import StartCheck
from server.problems import Problem, Text
from server.tasks import Services

Problems = Callable[[], Iterable[Text]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The parts of `operation/`, with the services that run."""

    services: Services
    health: Health
    status: CompanyStatus
    checkup: IntegrationChecks
    ledger: Ledger
    erasure: Erasure
    retention: Retention
    standstill: Standstill
    schema_watch: SchemaWatch
    start_check: StartCheck
    search_texts: SearchTexts


def build_operation(
    resources: Resources,
    integrations: IntegrationsRoom,
    live: Live,
    deliveries: Deliveries,
    comparisons: Comparisons,
    crm_writes: CrmWrites,
) -> Operation:
    """Builds `operation/`, and connects metrics that are read on request."""
    settings, database = resources.settings, resources.database
    services, standstill = Services(), Standstill(database)
    of_integrations = _of_integrations(deliveries, comparisons)
    problems = _joined(of_integrations, _unusable(integrations.directory), _held_back(live.hub))
    health = _health(resources, services, live, deliveries, problems, standstill, crm_writes)
    _measure(resources, live, deliveries)
    return Operation(
        services=services,
        health=health,
        status=_status(resources, integrations, live, deliveries, of_integrations, health),
        checkup=IntegrationChecks(
            resources.clients.single_attempt_client,
            integrations.proofs,
            integrations.file_trial,
            settings,
            comparisons.losses.recent_delay,
        ),
        ledger=Ledger(database, integrations.directory),
        erasure=Erasure(database, integrations.directory, resources.clients.client),
        retention=Retention(
            database,
            event_days=settings.event_days,
            journal_days=settings.journal_days,
            audit_days=settings.audit_days,
        ),
        standstill=standstill,
        schema_watch=SchemaWatch(database, settings.database_url, health),
        start_check=StartCheck(settings, database),
        search_texts=SearchTexts(database),
    )


def _health(
    resources: Resources,
    services: Services,
    live: Live,
    deliveries: Deliveries,
    problems: Callable[[], list[Text]],
    standstill: Standstill,
    crm_writes: CrmWrites,
) -> Health:
    return Health(
        services,
        resources.database,
        live.bus,
        resources.spool,
        deliveries.recorder,
        live.hub,
        problems,
        lambda: doctor.look_at_disks(resources.settings),
        waiting_seconds=lambda: standstill.seconds,
        locked=resources.database.busy.locked,
        sources=deliveries.sources.report,
        more_notes=crm_writes.watch.notes,
    )


def _status(
    resources: Resources,
    integrations: IntegrationsRoom,
    live: Live,
    deliveries: Deliveries,
    problems: Callable[[], list[Text]],
    health: Health,
) -> CompanyStatus:
    return CompanyStatus(
        resources.database,
        integrations.directory,
        resources.spool,
        online=lambda company_id: len(live.presence.online(company_id)),
        problems=problems,
        parts=health.parts,
        source_of=deliveries.sources.of,
        delay=integrations.arrivals.delay_seconds,
    )


def _joined(*sources: Problems) -> Callable[[], list[Text]]:
    return lambda: [problem for source in sources for problem in source()]


def _of_integrations(deliveries: Deliveries, comparisons: Comparisons) -> Callable[[], list[Text]]:
    return _joined(
        deliveries.failed.problems,
        deliveries.ingester.unstored.problems,
        comparisons.watch.problems,
        comparisons.reconcile.problems,
        deliveries.sources.problems,
    )


def _unusable(directory: Directory) -> Problems:
    return lambda: [
        Problem.of("integration.named_problem", id=one.id, why=one.problem)
        for one in directory.integrations.values()
        if one.problem
    ]


def _held_back(hub: Hub) -> Problems:
    problem = Problem.of("access.unknown")
    return lambda: [problem] if hub.is_holding else []


def _measure(resources: Resources, live: Live, deliveries: Deliveries) -> None:
    """Connects metrics that are read when they are scraped."""
    metrics.database_waiting.set_function(lambda: resources.database.waiting)
    metrics.record_waiting.set_function(lambda: deliveries.recorder.waiting)
    metrics.feeds_open.set_function(lambda: len(live.feeds.companies))
