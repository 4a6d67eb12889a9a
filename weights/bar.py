"""A progress bar for bytes, with rate and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_WIDTH = 24
_QUIET_SECONDS = 1.0
_REWRITE_SECONDS = 0.2
_LINE_SECONDS = 10.0


class Bar:
    """One line on standard error, rewritten in place on a terminal; elsewhere a line every ten seconds.

    Work that is over within a second shows nothing.
    """

    def __init__(
        self, text: str, total: int | None, begun: int = 0, stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """total: bytes, None where nobody knows. begun: bytes that were there already; they do not count as speed."""
        self._text, self._total, self._begun, self._clock = text, total, begun, clock
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._start = clock()
        self._next_time = self._start + (_QUIET_SECONDS if self._terminal else _LINE_SECONDS)
        self._width = 0

    def show(self, done: int) -> None:
        """`done` bytes of the whole are there."""
        now = self._clock()
        if now < self._next_time:
            return
        line = self._line(done, now)
        if self._terminal:
            self._next_time = now + _REWRITE_SECONDS
            print(f"\r{line:<{self._width}}", end="", file=self._stream, flush=True)
            self._width = len(line)
        else:
            self._next_time = now + _LINE_SECONDS
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Takes the bar away."""
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=self._stream, flush=True)
            self._width = 0

    def _line(self, done: int, now: float) -> str:
        rate = (done - self._begun) / max(now - self._start, 1e-9)
        speed = f"{size_text(int(rate))}/s"
        if not self._total:
            return f"{self._text}: {size_text(done)}, {speed}"
        share = min(1.0, done / self._total)
        filled = round(share * _WIDTH)
        left = f", {_time_text((self._total - done) / rate)} left" if rate > 0 else ""
        bar = "#" * filled + "-" * (_WIDTH - filled)
        return f"{self._text} [{bar}] {share:4.0%} of {size_text(self._total)}, {speed}{left}"


def size_text(size: int) -> str:
    """Such as `64 KB` or `2.11 GB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= 0.9995 * factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


def _time_text(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
