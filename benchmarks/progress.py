"""A progress bar for work of many steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from shared.session.status import StatusLine

_WIDTH = 24


class Progress:
    """A bar on standard error: rewritten in place on a terminal, a line every few seconds elsewhere."""

    def __init__(self, total: float, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`total`: the work to do, in any unit."""
        self._line, self._clock = StatusLine(stream), clock
        self._total, self._finished = total, 0.0
        self._text, self._share, self._begun = "", 0.0, 0.0

    def begin(self, text: str, work: float) -> None:
        """What is done now, and how much work it is; what was begun before is finished."""
        self._finished += self._begun
        self._text, self._share, self._begun = text, 0.0, work
        self._show()

    def advance(self, share: float) -> None:
        """A further share, 0..1, of what was begun is done."""
        self._share = min(1.0, self._share + share)
        self._show()

    def close(self, text: str) -> None:
        """Takes the bar away and says what became of the work."""
        self._line.say(text)

    @property
    def done(self) -> float:
        """Share of all work, 0..1."""
        return min(1.0, (self._finished + self._share * self._begun) / self._total)

    def _show(self) -> None:
        filled = round(self.done * _WIDTH)
        bar = "#" * filled + "-" * (_WIDTH - filled)
        self._line.show(f"[{bar}] {self.done:4.0%} {self._text}", self._clock())
