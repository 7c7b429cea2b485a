"""Builds `access/`: who is asking."""

from dataclasses import dataclass
from functools import partial

from server.access.authentication import Access
from server.access.confirmation import Confirmation
from server.access.first_run import SetUp
from server.access.people_administration import People
from server.access.sign_in import SignIn
from server.composition.build_live import Live
from server.composition.build_resources import Resources

_TOPIC = "access"  # the bus' topic of withdrawn access


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRoom:
    """The parts of `access/`."""

    access: Access
    people: People
    sign_in: SignIn
    first_run: SetUp


def build_access(resources: Resources, live: Live, confirmation: Confirmation) -> AccessRoom:
    """`confirmation`: the same that the hub asks whether events may leave."""
    settings, database, revoker = resources.settings, resources.database, live.revoker
    access = Access(
        database,
        settings,
        revoker.agent_changed,
        revoker.sessions_ended,
        confirmation=confirmation,
        connected=revoker.connected_agents,
        on_keys=revoker.keys_changed,
        on_confirmed=revoker.access_confirmed,
        announce=partial(live.bus.publish_topic, _TOPIC) if live.bus.is_shared else None,
    )
    if live.bus.is_shared:
        live.bus.follow_topic(_TOPIC, access.receive)
    return AccessRoom(
        access=access,
        people=People(
            database, access, lambda token: f"{settings.base_url}/invitation?token={token}"
        ),
        sign_in=SignIn(database, access, resources.vault),
        first_run=SetUp(database, access, f"{settings.base_url}/setup"),
    )
