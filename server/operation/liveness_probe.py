"""Whether the process of this machine or container lives: `omni-inbox health`, and `python -m
server.operation.liveness_probe`, which loads nothing else and so may run every few seconds.
"""

import http.client
import sys

from server.core.addresses import url_host
from server.errors import ConfigurationError
from server.operation.heartbeat import FRESH_SECONDS, age_seconds, heartbeat_path
from server.settings import Settings

_SECONDS = 2.0  # a container's health check has five, with the start of Python


def sign_of_life() -> str:
    """What shows that it lives. Raises ConfigurationError where nothing does. Blocks for at most
    two seconds.
    """
    settings = Settings.from_environment()
    place = f"{url_host(settings.host)}:{settings.port}"
    problem = _problem_at(place)
    if problem is None:
        return f"serving: http://{place}/livez answers"
    path = heartbeat_path(settings.spool_path)
    age = age_seconds(path)
    if age is not None and age <= FRESH_SECONDS:
        return f"working: {path} is {age:.0f} s old"
    worker = (
        "no worker has shown itself" if age is None else f"the worker's {path} is {age:.0f} s old"
    )
    raise ConfigurationError(f"Nothing answers at http://{place}/livez ({problem}), and {worker}")


def _problem_at(place: str) -> str | None:
    connection = http.client.HTTPConnection(place, timeout=_SECONDS)
    try:
        connection.request("GET", "/livez")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if status == http.client.OK else f"status {status}"


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{sign_of_life()}\n")
    except ConfigurationError as error:
        sys.exit(error.message)
