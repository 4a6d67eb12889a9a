"""Sample clock recovery: when the samples of a device happened, from block times that tremble."""

from __future__ import annotations

from shared.sound.codec import RATE

JUMP_SECONDS = 0.2
"""More than this is no trembling: samples are missing, or the clock was set."""
_FOLLOW = 0.01
"""Share of the way that a block's time moves the clock: over 2 s of blocks of 20 ms, where a drift of 100 ppm makes it
0.2 ms late."""


class SampleClock:
    """The time of the next sample of a stream, in seconds; first-order loop, averaging while it is young."""

    def __init__(self) -> None:
        self.next = 0.0
        """When the first sample of the next block happens."""
        self._blocks = 0

    def add(self, count: int, clock: float) -> bool:
        """Takes in a block of samples of which the first happened at `clock`; whether that was a jump."""
        ahead = clock - self.next
        jumped = self._blocks == 0 or abs(ahead) > JUMP_SECONDS
        if jumped:
            self.next, self._blocks = clock, 1
        else:
            self._blocks += 1
            self.next += max(_FOLLOW, 1 / self._blocks) * ahead
        self.next += count / RATE
        return jumped
