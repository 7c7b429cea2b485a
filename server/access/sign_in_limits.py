"""How many sign-ins may be tried: by address, by account and address, by account, and by code."""

import time
from collections.abc import Hashable

from server.core.token_buckets import Buckets, network_of
from server.errors import TooManyRequests
from server.problems import Problem

# a second and burst, each
_ACCOUNT_AND_ADDRESS = (1 / 6, 10.0)  # for one account from one address
_ADDRESS = (0.5, 30.0)
_ACCOUNT = (1 / 30, 20.0)  # for one account from all addresses, but browsers that are known
_KNOWN_BROWSERS = (1 / 6, 15.0)  # for one account from all browsers that are known
# six digits of one account: below one chance in two thousand a day
_CODE = (1 / 600, 20.0)


class SignInLimits:
    """Token buckets of one process. Each method counts one try and raises TooManyRequests."""

    def __init__(self) -> None:
        # one memory for each kind: a flood of one kind makes none of another forgotten
        self._by_address = Buckets(*_ADDRESS)
        self._by_account_and_address = Buckets(*_ACCOUNT_AND_ADDRESS)
        self._by_account = Buckets(*_ACCOUNT)
        self._by_known_browser = Buckets(*_KNOWN_BROWSERS)
        self._by_code = Buckets(*_CODE)

    def check(self, address: str, email: str | None = None) -> None:
        """Limits what strangers may try, by address, and by address and account."""
        network = network_of(address)
        # first: an address that is refused is remembered with no account
        _spend(self._by_address, network)
        if email is not None:
            _spend(self._by_account_and_address, (network, email))

    def check_signed_in(self, address: str, email: str | None) -> None:
        """Limits how often somebody who is signed in may prove a password again."""
        _spend(self._by_account_and_address, (network_of(address), email))

    def check_account(self, email: str, *, is_known: bool) -> None:
        """Limits guesses at one account, wherever they come from; a known browser has a budget that
        strangers cannot use up.
        """
        _spend(self._by_known_browser if is_known else self._by_account, email)

    def check_code(self, agent_id: int) -> None:
        """Limits guesses at an agent's six digits, whatever tickets they come with."""
        _spend(self._by_code, agent_id)


def _spend(buckets: Buckets, key: Hashable) -> None:
    if wait := buckets.wait(key, time.monotonic()):
        raise TooManyRequests(Problem.of("limit.tries", seconds=int(wait) + 1))
