"""The integration that a conversation's replies are sent through."""

from server.db.access.integration_record import Integration
from server.errors import NoChatwootIntegration
from server.integrations.directory import Directory


def sending_integration(
    directory: Directory, company_id: int, integration_id: int | None, display_id: int | None
) -> Integration:
    """As the directory knows it. `display_id` is Chatwoot's number of the conversation. Raises
    NoChatwootIntegration.
    """
    integration = directory.of_company(company_id, integration_id)
    if (
        integration is None
        or not integration.is_active
        or display_id is None
        or not integration.base_url
    ):
        raise NoChatwootIntegration
    return integration
