"""Builds `integrations/`: the companies' Chatwoot inboxes, their proofs and trials."""

from dataclasses import dataclass

from server.composition.build_resources import Resources
from server.integrations.arrivals import Arrivals
from server.integrations.directory import Directory
from server.integrations.file_trials import FileTrial
from server.integrations.form_tokens import FormTokens
from server.integrations.own_token_connections import OwnTokenConnections
from server.integrations.own_tokens import OwnTokens
from server.integrations.proofs import Proofs
from server.integrations.service import Integrations
from server.integrations.trials import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationsRoom:
    """The parts of `integrations/`."""

    directory: Directory
    arrivals: Arrivals
    proofs: Proofs
    service: Integrations
    file_trial: FileTrial
    form_tokens: FormTokens
    own_tokens: OwnTokens
    own_token_connections: OwnTokenConnections


def build_integrations(resources: Resources) -> IntegrationsRoom:
    """Builds `integrations/` on the database and the clients of Chatwoot."""
    settings, clients = resources.settings, resources.clients
    database, vault = resources.database, resources.vault
    directory = Directory(
        database,
        vault,
        tolerance_seconds=settings.signature_tolerance_seconds,
        require_signature=settings.require_webhook_signature,
    )
    proofs = Proofs(database, vault, directory, clients.single_attempt_client, settings)
    file_trial = FileTrial(clients.single_attempt_client, resources.files)
    trial = Trial(clients.single_attempt_client, file_trial)
    return IntegrationsRoom(
        directory=directory,
        arrivals=Arrivals(),
        proofs=proofs,
        service=Integrations(database, vault, directory, clients.client, proofs, trial, settings),
        file_trial=file_trial,
        form_tokens=FormTokens(vault, has_key=bool(settings.secret_key)),
        own_tokens=OwnTokens(database, vault, directory),
        own_token_connections=OwnTokenConnections(
            database, vault, directory, clients.single_attempt_client
        ),
    )
