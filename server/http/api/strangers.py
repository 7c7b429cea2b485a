"""What the webhook's address may cost us from senders whom no integration knows: requests, memory
and disk, by address and in total.

A sender whose signature was good lately is known: nothing it shares with others (a proxy's address,
say) makes us refuse it unread.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.core.bounded_dict import BoundedDict
from server.core.token_buckets import Bucket, Buckets, network_of
from server.errors import TooLarge, TooManyRequests
from server.http.api.large_bodies import LargeBodies

# what is larger costs time to read: Chatwoot sends such bodies for its longest messages alone
SMALL_BYTES = 65_536
_ADDRESSES = 10  # so many addresses' budgets are the budget of all strangers together
_MAX_KNOWN, _KNOWN_SECONDS = 1_000, 3_600.0
_NOTE_INTERVAL_SECONDS = 30.0  # what was noted so lately is not noted again
_SHARED = 0  # no company: one address that signs for several
_MAX_LARGE_BYTES = 48_000_000  # large bodies of known senders that are read at one time
_MAX_SENDER_BYTES = 16_000_000  # one sender's part of it, as large as a body can be
_MAX_STRANGERS_LARGE_BYTES = 16_000_000  # of all others together
_KEPT_BYTES = 1_000  # what a kept delivery costs besides its body
_DAY_SECONDS = 86_400.0


class Strangers:
    """Holds one process's budgets. A request of up to 64 KB costs one, a larger one as many as it
    has pieces of that size.
    """

    def __init__(self, per_minute: int, max_bytes_a_day: int) -> None:
        """`per_minute` of one address; 0: no limit. `max_bytes_a_day`: what may be kept of all
        strangers' deliveries.
        """
        now = time.monotonic()
        rate = per_minute / 60
        self._addresses = Buckets(rate, float(per_minute)) if per_minute else None
        self._total = (
            Bucket(rate * _ADDRESSES, float(per_minute * _ADDRESSES), now) if per_minute else None
        )
        self._disk = Bucket(max_bytes_a_day / _DAY_SECONDS, float(max_bytes_a_day), now)
        # (when, the company, or _SHARED)
        self._known: BoundedDict[str, tuple[float, int]] = BoundedDict(_MAX_KNOWN)
        self._large = LargeBodies(_MAX_LARGE_BYTES, _MAX_SENDER_BYTES)
        self._strangers_bytes = 0

    def check(self, address: str) -> None:
        """Refuse an address before anything is read. Raises TooManyRequests for one that has used
        up its budget, unless it is known.
        """
        if (
            self._addresses is not None
            and not self.is_known(address)
            and self._addresses.is_empty(network_of(address), time.monotonic())
        ):
            raise TooManyRequests("Too many webhooks from this address that no integration takes")

    @asynccontextmanager
    async def reading(self, address: str, size: int) -> AsyncIterator[None]:
        """Hold memory for a body of more than `SMALL_BYTES`, and up to `size`, while it is read and
        judged. Those of known senders wait for room.

        Raises Unavailable or TooManyRequests when there is none.
        """
        if self.is_known(address):
            async with self._large.reading(self._sender(address), size):
                yield
        else:
            if self._strangers_bytes + size > max(_MAX_STRANGERS_LARGE_BYTES, size):
                raise TooManyRequests("Too many large webhooks at one time")
            if self._total is not None and self._total.is_empty(time.monotonic()):
                raise TooManyRequests("Too many webhooks that no integration takes")
            self._strangers_bytes += size
            try:
                yield
            finally:
                self._strangers_bytes -= size

    def note_fault(self, address: str, size: int) -> None:
        """Count a body that could not be read, or whose signature was wrong, as a stranger's."""
        if self._addresses is not None and self._total is not None:
            now, count = time.monotonic(), 1.0 + size // SMALL_BYTES
            self._addresses.spend(network_of(address), now, count)
            self._total.spend(now, count)

    def admit(self, address: str, size: int) -> None:
        """Count a delivery that no integration takes. Raises TooLarge or TooManyRequests where it
        may not be kept.
        """
        if size > SMALL_BYTES:
            self.note_fault(address, size)
            raise TooLarge(
                f"No integration takes this; of such deliveries at most {SMALL_BYTES:,} bytes "
                "are kept"
            )
        now = time.monotonic()
        if self._addresses is not None and self._total is not None:
            if self._addresses.is_empty(network_of(address), now) or self._total.is_empty(now):
                raise TooManyRequests("Too many webhooks that no integration takes")
            self.note_fault(address, size)
        if not self._disk.try_take(now, size + _KEPT_BYTES):
            raise TooManyRequests("Too much is kept already that no integration takes")

    def note_verified(self, address: str, company_id: int) -> None:
        """Remember that this address sent what a company's secret signed.

        One that signs for several companies is a sender of its own: a Chatwoot that many share. A
        company with many addresses is one sender.
        """
        now, before, owner = time.monotonic(), self._known.get(address), company_id
        if before is not None:
            if before[1] not in (company_id, _SHARED):
                owner = _SHARED
            elif now - before[0] < _NOTE_INTERVAL_SECONDS:
                return
            else:
                owner = before[1]
        self._known[address] = (now, owner)
        self._known.move_to_end(address)

    def _sender(self, address: str) -> str:
        _, owner = self._known[address]
        return f"address {network_of(address)}" if owner == _SHARED else f"company {owner}"

    def is_known(self, address: str) -> bool:
        """Whether the address sent what a company's secret signed within the last hour."""
        known = self._known.get(address)
        return known is not None and time.monotonic() - known[0] < _KNOWN_SECONDS
