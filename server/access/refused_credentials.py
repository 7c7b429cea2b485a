"""Cookies and tokens that were refused lately, and how many an address may try.

A credential that is good costs a query or a verification once, and is known from then on; one that
is not would cost it every time. Only failures count, so an office behind one address is slowed down
only while something in it guesses, and nobody whose sign-in this process knows.
"""

import math
import time
from collections.abc import Hashable

from server.core.bounded_dict import BoundedDict
from server.core.token_buckets import Buckets, network_of
from server.errors import TooManyRequests, Unauthenticated

_REFUSALS_PER_SECOND, _BURST = 10.0, 300.0  # of one address
# an inbox left open asks every few seconds with a sign-in that has ended
_REMEMBERED_SECONDS = 30.0
_MAX_REMEMBERED = 20_000


class RefusedCredentials:
    """Remembers refused credentials for 30 seconds, and limits failures by address."""

    def __init__(self) -> None:
        self._buckets = Buckets(_REFUSALS_PER_SECOND, _BURST)
        self._refused: BoundedDict[Hashable, tuple[float, str | None]] = BoundedDict(
            _MAX_REMEMBERED
        )

    def check(self, credential: Hashable, address: str) -> None:
        """Called before an unknown one is looked up. Raises Unauthenticated for one that was
        refused a moment ago, TooManyRequests for an address that tries too many.
        """
        now = time.monotonic()
        found = self._refused.get(credential)
        if found is not None and now - found[0] < _REMEMBERED_SECONDS:
            raise Unauthenticated(found[1])
        if address and self._buckets.is_empty(network_of(address), now):
            seconds = math.ceil(1 / _REFUSALS_PER_SECOND)
            error = TooManyRequests(
                "Too many sign-ins that are not valid here came from your address; try again in "
                "a moment"
            )
            error.retry_seconds = seconds
            raise error

    def remember(self, credential: Hashable, address: str, message: str | None = None) -> None:
        """Remembers one that was refused, with this sentence."""
        now = time.monotonic()
        self._refused[credential] = (now, message)
        self._refused.move_to_end(credential)
        if address:
            self._buckets.spend(network_of(address), now, 1.0)
