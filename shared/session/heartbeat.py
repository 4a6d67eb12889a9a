"""Is the other side still there? Times are seconds of any steady clock."""

from __future__ import annotations

from typing import Literal

SILENT_AFTER = 5.0
"""Seconds without a message after which the user is told."""
DEAD_AFTER = 90.0
"""Seconds without a message after which the call is over; a train's tunnel is shorter."""


class Silence:
    """Judges how long nothing came from the other side, on any channel."""

    def __init__(self, now: float, *, silent_after: float = SILENT_AFTER, dead_after: float = DEAD_AFTER) -> None:
        self._last = now
        self._silent_after = silent_after
        self._dead_after = dead_after

    def heard(self, now: float) -> None:
        """Note a message."""
        self._last = max(self._last, now)

    def state(self, now: float) -> Literal["ok", "silent", "dead"]:
        """What the silence up to `now` means."""
        silence = now - self._last
        if silence >= self._dead_after:
            return "dead"
        return "silent" if silence >= self._silent_after else "ok"
