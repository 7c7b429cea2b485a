"""The newest frames of one company, ready to be written."""

from collections.abc import Iterable


class Ring:
    """Keeps consecutive ready frames, bounded by count and bytes; the oldest are dropped first."""

    def __init__(self, next_seq: int, max_events: int, max_bytes: int) -> None:
        self.first = next_seq
        self._frames: list[bytes] = []
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        # the last answer: sockets that resume at the same time ask for the same
        self._slice: tuple[tuple[int, int, int], bytes, int] | None = None

    def append(self, frames: Iterable[bytes]) -> None:
        """Add the next frames; the oldest make room."""
        new = list(frames)
        self._frames += new
        self._bytes += sum(map(len, new))
        self._trim()

    def prepend(self, first: int, frames: list[bytes]) -> None:
        """Add older frames that end where the ring begins."""
        self._frames[:0] = frames
        self.first = first
        self._bytes += sum(map(len, frames))
        self._trim()

    def frames_after(self, seq: int, max_bytes: int) -> tuple[bytes, int] | None:
        """Return the frames from `seq + 1` on, at least one and at most about `max_bytes`, joined,
        and the last seq among them; None when `seq + 1` is not here.
        """
        start = seq + 1 - self.first
        if start < 0 or start >= len(self._frames):
            return None
        asked = (seq, self.first + len(self._frames), max_bytes)
        if self._slice is not None and self._slice[0] == asked:
            return self._slice[1], self._slice[2]
        size, end = 0, start
        while end < len(self._frames) and (size == 0 or size + len(self._frames[end]) <= max_bytes):
            size += len(self._frames[end])
            end += 1
        joined = b"".join(self._frames[start:end])
        self._slice = (asked, joined, self.first + end - 1)
        return joined, self.first + end - 1

    def frame_at(self, seq: int) -> bytes | None:
        """Return the frame of that seq, if it is here."""
        index = seq - self.first
        return self._frames[index] if 0 <= index < len(self._frames) else None

    @property
    def room(self) -> int:
        """How many more frames may be prepended."""
        return 0 if self._bytes >= self._max_bytes else max(0, self._max_events - len(self._frames))

    def _trim(self) -> None:
        drop = 0
        while len(self._frames) - drop > self._max_events or (
            self._bytes > self._max_bytes and len(self._frames) - drop > 1
        ):
            self._bytes -= len(self._frames[drop])
            drop += 1
        if drop:
            del self._frames[:drop]
            self.first += drop
