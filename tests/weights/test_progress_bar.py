from __future__ import annotations

import io

import pytest

from weights.bar import Bar, size_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def shown(stream: io.StringIO, seconds: float, steps: int, total: int | None, begun: int = 0) -> str:
    clock, work = Clock(), 1_000_000
    bar = Bar("fetching a", total, begun, stream, clock)
    for step in range(1, steps + 1):
        clock.now = 100 + seconds * step / steps
        bar.show(begun + (work - begun) * step // steps)
    return stream.getvalue()


def test_elsewhere_there_is_a_line_every_ten_seconds() -> None:
    lines = shown(io.StringIO(), 100, 1000, 1_000_000).splitlines()
    assert [line[line.index("%") - 3 : line.index("%")].strip() for line in lines] == [
        str(p) for p in range(10, 101, 10)
    ]
    assert lines[4] == "fetching a [############------------]  50% of 1 MB, 10 KB/s, 50 s left"


def test_on_a_terminal_one_line_is_rewritten_and_taken_away() -> None:
    stream = Terminal()
    text = shown(stream, 10, 1000, 1_000_000)
    assert text.count("\r") > 20
    assert "\n" not in text
    clock = Clock()
    bar = Bar("x", 10, 0, stream, clock)
    clock.now += 2
    bar.show(5)
    bar.close()
    assert stream.getvalue().endswith(
        "\r" + " " * len("x [############------------]  50% of 10 bytes, 2 bytes/s, 2 s left") + "\r"
    )


def test_what_is_over_at_once_shows_nothing() -> None:
    assert shown(io.StringIO(), 0.5, 100, 1_000_000) == ""
    assert shown(Terminal(), 0.5, 100, 1_000_000) == ""


def test_what_was_there_before_is_no_speed() -> None:
    assert "5 KB/s" in shown(io.StringIO(), 100, 1000, 1_000_000, begun=500_000)


def test_an_unknown_total_shows_what_has_come() -> None:
    assert shown(io.StringIO(), 20, 4, None).splitlines() == [
        "fetching a: 500 KB, 50 KB/s",
        "fetching a: 1 MB, 50 KB/s",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (64_000, "64 KB"), (66_929_193, "66.9 MB"), (2_112_619_148, "2.11 GB"),
     (999_900_000, "1 GB")],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text
