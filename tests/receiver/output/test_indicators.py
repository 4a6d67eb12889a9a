from __future__ import annotations

from dataclasses import replace

import pytest

from receiver.output.indicators import (
    BUSY,
    LATELY,
    PICTURES_LATELY,
    SENDER_BUSY,
    Gauges,
    Indicators,
    Quality,
    Sample,
    link_quality,
)

EMPTY = Sample(
    time=100.0, heard=None, received=0, late=0, shown=0, sources_received=0, sources_held=0, behind=0.0,
    extra_delay=0.0, wire_in=0, wire_back=0, payload_in=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("silence", "playing", "late", "behind", "extra", "expected"),
    [
        (None, False, 0.0, 0.0, 0.0, "connecting"),
        (0.1, False, 0.0, 0.0, 0.0, "connecting"),
        (2.0, False, 0.0, 0.0, 0.0, "connecting"),  # signs of life come every two seconds
        (2.6, False, 0.0, 0.0, 0.0, "stalled"),
        (0.8, True, 0.0, 0.05, 0.1, "good"),  # the longest bundle
        (0.1, True, 0.05, 0.0, 0.0, "good"),  # what the playout lets go by
        (0.1, True, 0.0, 0.3, 0.0, "slow"),
        (0.1, True, 0.0, 0.0, 0.5, "slow"),
        (0.1, True, 0.2, 0.5, 0.5, "losing"),
        (1.6, True, 0.5, 0.5, 0.5, "stalled"),
    ],
)
def test_the_worst_that_is_true_is_said(
    silence: float | None, playing: bool, late: float, behind: float, extra: float, expected: Quality
) -> None:
    assert link_quality(silence, playing, late, behind, extra) == expected


def running(seconds: float, **changes: float) -> Sample:
    """25 frames/s, 1000 bytes/s in and 400 back."""
    n = round(25 * seconds)
    return replace(
        EMPTY, time=100 + seconds, heard=100 + seconds, received=n, shown=n, wire_in=round(1000 * seconds),
        wire_back=round(400 * seconds), payload_in=round(300 * seconds), sources_held=1, sources_received=1,
        **changes,  # type: ignore[arg-type]
    )  # fmt: skip


def test_rates_are_those_of_the_last_seconds() -> None:
    gauges = Gauges()
    gauges.read(EMPTY)
    for tenth in range(1, 100):
        read = gauges.read(running(tenth / 10))
    assert (read.quality, read.fps) == ("good", pytest.approx(25, rel=0.05))
    assert (read.wire_in_kbps, read.wire_back_kbps, read.payload_kbps) == pytest.approx((8, 3.2, 2.4), rel=0.01)
    still = running(9.9)
    for tenth in range(round(10 * LATELY) + 2):
        read = gauges.read(replace(still, time=still.time + tenth / 10))
    assert (read.quality, read.fps, read.wire_in_kbps) == ("stalled", 0, 0)


def test_a_busy_machine_is_no_fault_of_the_link() -> None:
    gauges = Gauges()
    gauges.read(EMPTY)
    read = gauges.read(replace(running(1), busy=0.3))
    assert (read.quality, read.busy) == ("good", True)
    assert not gauges.read(running(2)).busy
    late = replace(running(3), behind=0.6, late=40, extra_delay=0.7)
    assert gauges.read(late).quality == "losing"
    read = gauges.read(replace(late, sender_busy=True))
    assert (read.quality, read.busyness) == ("good", SENDER_BUSY)
    assert gauges.read(replace(late, time=late.time + 5, sender_busy=True)).quality == "stalled"  # that is seen still


def test_the_first_reading_has_no_rates() -> None:
    read = Gauges().read(running(5))
    assert (read.fps, read.wire_in_kbps) == (0, 0)


def test_late_frames_are_forgotten_after_a_while() -> None:
    gauges, words = Gauges(), []
    for tenth in range(200):
        late = min(max(tenth - 50, 0), 20)  # of 2.5 frames a tenth of a second, one is late, for two seconds
        words.append(gauges.read(replace(running(tenth / 10), late=late)).quality)
    assert words[49] == "good"
    assert words[70] == "losing"
    assert words[-1] == "good"


def test_the_rung_follows_the_pictures() -> None:
    gauges = Gauges()
    assert gauges.read(replace(running(0), sources_held=0, sources_received=0)).rung == "no picture yet"
    assert gauges.read(running(1)).rung == "motion only"  # the first picture is needed on every rung
    assert gauges.read(replace(running(2), sources_received=2, sources_held=2)).rung == "motion and pictures"
    later = replace(running(3 + PICTURES_LATELY), sources_received=2, sources_held=2)
    assert gauges.read(later).rung == "motion only"
    based = replace(later, time=later.time + LATELY, shown=later.shown + 125, with_base=100)
    assert gauges.read(based).rung == "motion and base"
    said = replace(based, time=based.time + 1, shown=based.shown + 25, with_base=125, sends="video and motion")
    assert gauges.read(said).rung == "video and motion"
    told = replace(said, time=said.time + 1, shown=said.shown + 25, with_base=150, sends="<b>motion</b>")
    assert gauges.read(told).rung == "motion and base"  # a text of the peer's is not shown
    dropped = replace(told, time=told.time + LATELY, shown=told.shown + 125, sends="motion and base")
    assert gauges.read(dropped).rung == "motion only"


def test_the_line_says_it_in_words() -> None:
    read = Indicators("slow", "motion only", 24.9, 6.94, 2.71, 3.0, 1, 398.4, False)
    assert read.line() == ("link slow | motion only | 6.9 kbit/s in, 2.7 back | 398 ms | no face at the other end")
    assert replace(read, face=True, busy=True).line().endswith(f"398 ms | {BUSY}")
    assert replace(read, quality="connecting").line() == "connecting"
