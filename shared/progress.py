"""Progress bars, tqdm's: rewritten in place on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from tqdm import tqdm

QUIET_SECONDS = 1.0
"""Work that is over by then shows nothing."""
LINE_SECONDS = 10.0


class Bar(tqdm):  # type: ignore[misc]
    """A bar on standard error, or on `stream`; it takes tqdm's options."""

    monitor_interval = 0
    """No thread that wakes bars up: these look at the clock in every update."""

    def __init__(self, stream: TextIO | None = None, **options: Any) -> None:
        stream = sys.stderr if stream is None else stream
        defaults: dict[str, Any] = {"miniters": 0, "leave": False, "dynamic_ncols": True}
        if stream.isatty():
            defaults |= {"file": stream, "mininterval": 0.2}
        else:
            defaults |= {"file": _Lines(stream), "mininterval": LINE_SECONDS}
        super().__init__(**defaults | options)


class _Lines:
    """Gives every state of a bar a line of its own, where nothing can be rewritten."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if line := text.rstrip().removeprefix("\r"):
            print(line, file=self._stream, flush=True)

    def flush(self) -> None:
        self._stream.flush()


def bytes_bar(text: str, total: int | None, begun: int = 0, stream: TextIO | None = None) -> Bar:
    """A bar of bytes with rate and time left; `update` it with how many came, `close` takes it away.

    total: None where nobody knows. begun: bytes that were there already; they do not count as speed.
    """
    return Bar(stream, desc=text, total=total, initial=begun, unit="B", unit_scale=True, delay=QUIET_SECONDS)
