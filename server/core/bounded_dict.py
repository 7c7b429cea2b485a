"""A dict that forgets its oldest entries: for what is remembered to save work, never for what must
not be lost.
"""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedDict(OrderedDict[K, V]):
    """At most `max_items` entries. Setting one too many drops the first in order, which is the one
    that was set (or moved to the end) longest ago; setting a key again does not move it.
    """

    def __init__(self, max_items: int) -> None:
        super().__init__()
        self._max_items = max_items

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self._max_items:
            self.popitem(last=False)
