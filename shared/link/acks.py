"""When what arrived is acknowledged: not every packet by a packet of its own, which aiortc does and which costs a
third of all bytes at a few messages a second."""

from __future__ import annotations

MAX_PACKETS = 2
"""A SACK for every second packet at least (RFC 9260, section 6.2)."""
MAX_DELAY = 0.45
"""Seconds that a SACK may wait. RFC 9260 advises 0.2 and forbids more than 0.5; aiortc repeats after 1 s at the
earliest. With 0.45 a bundle every 0.4 s still finds its predecessor's SACK waiting."""


class DelayedAck:
    """Decides when a SACK is due (RFC 9260, sections 6.2 and 6.7). Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._packets = 0
        self._due: float | None = None
        self._incomplete = False

    @property
    def due(self) -> float | None:
        """When the SACK that waits must go at the latest; None if none waits."""
        return self._due

    def received(self, now: float, incomplete: bool) -> bool:
        """Notes a packet with data; True if a SACK is due at once.

        incomplete: data before it is missing, or it had come already. The other side must hear of that, and of the
        gap's end, without delay, or its repair waits.
        """
        urgent = incomplete or self._incomplete
        self._incomplete = incomplete
        self._packets += 1
        if self._due is None:
            self._due = now + MAX_DELAY
        return urgent or self._packets >= MAX_PACKETS

    def sent(self) -> None:
        """Notes that everything received so far has been acknowledged."""
        self._packets, self._due = 0, None
