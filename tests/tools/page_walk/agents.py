"""An agent's browser: tabs that can be frozen and a line that can be cut, and for how long a page
may say that it is live and be wrong."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
from playwright.async_api import Page

from tests.kit.eventually import scaled
from tests.kit.tcp_proxy import TcpProxy
from tests.web.site import Window

DEAD_WORKER_SECONDS = 5.0  # until a tab has its worker's lock, on a busy machine
DEAD_LINE_SECONDS = 30.0  # until a half-open line is known as one


@dataclass
class Tab:
    page: Page
    thaw: Callable[[], Awaitable[None]] | None = None  # while it is frozen
    excused_until: float = -math.inf  # its worker may be dead, and nobody told it
    opened: set[int] = field(default_factory=set)  # conversations whose threads it may hold

    def lose_worker(self) -> None:
        """From now on it may be deaf; a frozen one notices nothing before it is thawed."""
        self.excused_until = (
            math.inf if self.thaw else time.monotonic() + scaled(DEAD_WORKER_SECONDS)
        )


@dataclass
class Agent:
    """One browser, with a line of its own that can be cut."""

    window: Window
    proxy: TcpProxy
    http: httpx.AsyncClient  # the server's answers to this agent, past the line
    tabs: list[Tab] = field(default_factory=list)
    half_open_until: float = -math.inf
    excused_until: float = -math.inf  # the line may be half-open

    def half_open(self, seconds: float) -> None:
        now = time.monotonic()
        if self.proxy.is_frozen:
            self.half_open_until = max(self.half_open_until, now + seconds)
        else:
            self.half_open_until = now + seconds
            self.excused_until = now + scaled(DEAD_LINE_SECONDS)
        self.proxy.freeze()
        asyncio.get_running_loop().call_later(seconds, self._thaw_in_time)

    def thaw(self) -> None:
        """What was held back arrives now, and nothing is excused any more."""
        self.proxy.thaw()
        self.half_open_until = -math.inf
        self.excused_until = min(self.excused_until, time.monotonic())

    def _thaw_in_time(self) -> None:
        if self.proxy.is_frozen and time.monotonic() >= self.half_open_until - 0.1:
            self.thaw()
