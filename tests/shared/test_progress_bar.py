"""Progress bars on a terminal and elsewhere, with a clock of the test's own."""

from __future__ import annotations

import io
import itertools

import pytest
from tqdm import std

from shared.progress import Bar, bytes_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(std, "time", clock)
    return clock


def filled(bar: Bar, clock: Clock, seconds: float, steps: int, size: int = 1_000_000) -> None:
    for _ in range(steps):
        clock.now += seconds / steps
        bar.update(size // steps)


def test_elsewhere_there_is_a_line_every_ten_seconds(clock: Clock) -> None:
    stream = io.StringIO()
    with bytes_bar("fetching a", 1_000_000, stream=stream) as bar:
        filled(bar, clock, 100, 1000)
    lines = stream.getvalue().splitlines()
    assert 9 <= len(lines) <= 10
    assert all(line.startswith("fetching a: ") and "kB/s]" in line for line in lines)
    shares = [int(line[line.index("%") - 3 : line.index("%")]) for line in lines]
    assert all(9 <= later - share <= 12 for share, later in itertools.pairwise(shares))


def test_on_a_terminal_one_line_is_rewritten_and_taken_away(clock: Clock) -> None:
    stream = Terminal()
    with bytes_bar("fetching a", 1_000_000, stream=stream) as bar:
        filled(bar, clock, 10, 1000)
    text = stream.getvalue()
    assert text.count("\r") > 20
    assert "\n" not in text
    assert text.split("\r")[-2].strip() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_what_is_over_at_once_shows_nothing(clock: Clock, stream: io.StringIO) -> None:
    with bytes_bar("fetching a", 1_000_000, stream=stream) as bar:
        filled(bar, clock, 0.5, 100)
    assert stream.getvalue() == ""


def test_what_was_there_before_is_no_speed(clock: Clock) -> None:
    stream = io.StringIO()
    with bytes_bar("fetching a", 1_000_000, 500_000, stream) as bar:
        filled(bar, clock, 100, 100, 500_000)
    assert "5.00kB/s" in stream.getvalue().splitlines()[-1]
    assert stream.getvalue().startswith("fetching a:  55%")


def test_an_unknown_total_shows_what_has_come(clock: Clock) -> None:
    stream = io.StringIO()
    with bytes_bar("fetching a", None, stream=stream) as bar:
        filled(bar, clock, 20, 4)
    assert stream.getvalue().startswith("fetching a: 500kB [00:10, 50.0kB/s]")
