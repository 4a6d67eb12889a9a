"""A progress bar for work of many steps, some longer than others."""

from __future__ import annotations

import sys
from typing import TextIO

from shared.progress import Bar

_FORMAT = "{percentage:3.0f}%|{bar:24}| {desc} [{elapsed}, {remaining} left]"


class Progress:
    """A bar on standard error: rewritten in place on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, total: float, stream: TextIO | None = None) -> None:
        """`total`: the work to do, in any unit."""
        self._stream = sys.stderr if stream is None else stream
        self._bar = Bar(self._stream, total=total, bar_format=_FORMAT, smoothing=0)
        self._total, self._finished = total, 0.0
        self._share, self._begun = 0.0, 0.0

    def begin(self, text: str, work: float) -> None:
        """What is done now, and how much work it is; what was begun before is finished."""
        self._finished += self._begun
        self._share, self._begun = 0.0, work
        self._bar.set_description_str(text, refresh=False)
        self._show()

    def advance(self, share: float) -> None:
        """A further share, 0..1, of what was begun is done."""
        self._share = min(1.0, self._share + share)
        self._show()

    def close(self, text: str) -> None:
        """Takes the bar away and says what became of the work, if anything."""
        self._bar.close()
        if text:
            print(text, file=self._stream, flush=True)

    @property
    def done(self) -> float:
        """Share of all work, 0..1."""
        return min(1.0, (self._finished + self._share * self._begun) / self._total)

    def _show(self) -> None:
        self._bar.update(self.done * self._total - self._bar.n)
