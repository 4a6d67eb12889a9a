"""A bar over work whose parts differ in length, with a clock of the test's own."""

from __future__ import annotations

import io
from itertools import count

import pytest
from tqdm import std

from benchmarks.progress import Progress


def test_the_bar_fills_as_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count(0, 10)
    monkeypatch.setattr(std, "time", lambda: next(ticks))
    stream = io.StringIO()
    bar = Progress(10, stream)
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
    assert " 30%|#######2                | a call [" in lines[2]
    assert "100%|########################| a codec [" in lines[-2]
    assert lines[-1] == "compared"


def test_nothing_is_said_where_there_is_nothing_to_say() -> None:
    stream = io.StringIO()
    bar = Progress(1, stream)
    bar.close("")
    assert [line for line in stream.getvalue().splitlines() if "%" not in line] == []
