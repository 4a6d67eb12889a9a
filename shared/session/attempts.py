"""A limit on wrong guesses."""

from __future__ import annotations

from collections import OrderedDict, deque


class FailureLimit:
    """Remembers failures by address and says who has had too many lately. Times are seconds."""

    def __init__(self, allowed: int = 10, window: float = 60.0, remembered: int = 1000) -> None:
        self._allowed = allowed
        self._window = window
        self._remembered = remembered
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, address: str, now: float) -> None:
        """Note a failure; the address longest quiet is forgotten when there are too many addresses."""
        self._failures.setdefault(address, deque(maxlen=self._allowed)).append(now)
        self._failures.move_to_end(address)
        while len(self._failures) > self._remembered:
            self._failures.popitem(last=False)

    def blocked(self, address: str, now: float) -> bool:
        """Whether the last `allowed` failures of this address all lie within the window."""
        failures = self._failures.get(address)
        return failures is not None and len(failures) == self._allowed and now - failures[0] < self._window
