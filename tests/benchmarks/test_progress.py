"""A progress bar with a clock and a stream of its own."""

from __future__ import annotations

import io
from itertools import count

from benchmarks.progress import Progress


def test_the_bar_fills_as_work_is_done() -> None:
    stream, clock = io.StringIO(), count(0, 10)
    bar = Progress(10, stream, lambda: next(clock))
    bar.begin("a call", 6)
    bar.advance(0.5)
    assert bar.done == 0.3
    bar.begin("a codec", 4)
    assert bar.done == 0.6
    bar.advance(0.5)
    bar.advance(0.9)  # more than was said
    assert bar.done == 1
    bar.close("compared")
    lines = stream.getvalue().splitlines()
    assert lines[1] == "[#######-----------------]  30% a call"
    assert lines[-2] == "[########################] 100% a codec"
    assert lines[-1] == "compared"
