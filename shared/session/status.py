"""The live status of a call: one line on stderr, rewritten in place on a terminal, every ten seconds elsewhere."""

from __future__ import annotations

import sys
from typing import TextIO

_REWRITE_SECONDS = 0.5
_LINE_SECONDS = 10.0


class StatusLine:
    """Prints status texts at a bearable rate."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Without a stream: the standard error of this moment."""
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._next = 0.0
        self._width = 0

    def show(self, text: str, now: float) -> None:
        """Shows a text if it is time for one."""
        if now < self._next:
            return
        self._next = now + (_REWRITE_SECONDS if self._terminal else _LINE_SECONDS)
        if self._terminal:
            print(f"\r{text:<{self._width}}", end="", file=self._stream, flush=True)
            self._width = len(text)
        else:
            print(text, file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """Prints a line of its own at once."""
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=self._stream)
            self._width = 0
        print(text, file=self._stream, flush=True)
