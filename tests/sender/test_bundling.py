"""Bundles as they are made: frames in their places, numbers that say the time, sound and base layer beside them."""

from __future__ import annotations

import pytest
from call_examples import make_basis, make_motion

from sender.base_generation import Coded
from sender.bundler import Bundler, Made, clock_ms
from sender.profiles import LARGEST_BUNDLE
from shared.audio.packetizer import Packet
from shared.codec.base_section import MAX_BASE_BYTES
from shared.codec.bundle import Bundle, decode_bundle
from shared.motion import Motion

FPS = 25.0
STEP = 1 / FPS
BEGAN = 100.0


def bundler() -> Bundler:
    return Bundler(make_basis(), FPS)


def add(gathering: Bundler, *frames: int, face: bool = True) -> None:
    """Takes in frames by their number on the camera's clock; the yaw of each is its number."""
    for n in frames:
        gathering.add(BEGAN + n * STEP, make_motion(n) if face else None)


def decoded(made: Made) -> Bundle:
    return decode_bundle(made.data, make_basis())


def yaws(frames: tuple[Motion | None, ...]) -> list[float | None]:
    return [None if each is None else float(each.rotation[0]) for each in frames]


def coded(
    frame: int, data: bytes = b"packet", *, generation: int = 3, sequence: int = 0, droppable: bool = False
) -> Coded:
    return Coded(generation, sequence, droppable, BEGAN + frame * STEP, data)


def said(word: int) -> bytes:
    """A packet of speech, 60 ms as its first byte says."""
    return bytes([0x18, word])


def test_frames_that_come_evenly_are_one_bundle() -> None:
    gathering = bundler()
    add(gathering, *range(5))
    assert len(gathering) == 5
    (made,) = gathering.take(7, STEP)
    bundle = decoded(made)
    assert (bundle.first_frame, bundle.clock_ms, bundle.epoch, bundle.frame_interval_ms) == (0, 100_000, 7, 40.0)
    assert yaws(bundle.frames) == [0, 1, 2, 3, 4]
    assert (made.first_frame, made.frames, made.base_bytes) == (0, 5, 0)
    assert made.seconds == pytest.approx(0.2)
    assert [(each.number, each.clock_ms) for each in made.placed] == [(n, 100_000 + 40 * n) for n in range(5)]
    assert len(gathering) == 0 and gathering.take(7, STEP) == []


@pytest.mark.parametrize(
    ("later", "number"),
    [(range(5, 8), 5), (range(6, 9), 6), (range(30, 33), 30), (range(-50, -47), 6)],
    ids=["at once", "after a gap of one", "after a second", "after the clock was set back"],
)
def test_a_gap_in_time_is_one_in_the_numbers(later: range, number: int) -> None:
    gathering = bundler()
    add(gathering, *range(5))
    gathering.take(0, STEP)
    add(gathering, *later)
    (made,) = gathering.take(0, STEP)
    assert made.first_frame == number


def test_where_every_second_frame_goes_numbers_count_all() -> None:
    gathering = bundler()
    add(gathering, 0, 2, 4)
    (first,) = gathering.take(0, 2 * STEP)
    add(gathering, 6, 8)
    (second,) = gathering.take(0, 2 * STEP)
    assert [each.number for each in first.placed] == [0, 2, 4]
    assert (second.first_frame, decoded(second).frame_interval_ms) == (6, 80.0)


@pytest.mark.parametrize("face", [True, False])
def test_a_frame_that_is_missing_is_made_up_between_two_faces(face: bool) -> None:
    gathering = bundler()
    add(gathering, 0, 1)
    add(gathering, 3, face=face)
    (made,) = gathering.take(0, STEP)
    assert yaws(decoded(made).frames) == ([0, 1, 2, 3] if face else [0, 1, None, None])
    assert made.frames == 4
    assert [each.number for each in made.placed] == [0, 1, 3]


def test_clocks_that_no_line_holds_make_two_bundles_and_each_gets_its_own_packets() -> None:
    gathering = bundler()
    add(gathering, 0, 1, 20, 21)
    first, second = gathering.take(0, STEP, [coded(1, b"one"), coded(20, b"two", sequence=1)])
    assert (first.first_frame, second.first_frame) == (0, 20)
    assert [(each.frame, each.data) for each in decoded(first).base] == [(1, b"one")]
    assert [(each.frame, each.data) for each in decoded(second).base] == [(0, b"two")]


def test_the_oldest_frames_make_room() -> None:
    gathering = bundler()
    gone = [gathering.add(BEGAN + n * STEP, make_motion(n)) for n in range(LARGEST_BUNDLE + 3)]
    assert gone == [0] * LARGEST_BUNDLE + [1] * 3
    (made,) = gathering.take(0, STEP)
    assert yaws(decoded(made).frames) == list(range(3, LARGEST_BUNDLE + 3))


def test_frames_that_are_dropped_never_go() -> None:
    gathering = bundler()
    add(gathering, 0, 1, 2)
    assert gathering.clear() == 3
    add(gathering, 3)
    (made,) = gathering.take(0, STEP)
    assert yaws(decoded(made).frames) == [3]
    assert gathering.since_last(BEGAN + 5 * STEP) == pytest.approx(2 * STEP)


def test_sound_waits_for_a_frame_and_counts_from_its_bundle() -> None:
    gathering = bundler()
    gathering.add_sound([Packet(99_940, said(1)), Packet(100_000, b"")])
    assert gathering.waiting and len(gathering) == 0
    assert gathering.take(0, STEP) == []
    add(gathering, 0)
    (made,) = gathering.take(0, STEP)
    assert [(each.start_ms, each.data) for each in made.sound] == [(-60, said(1)), (0, b"")]
    assert not gathering.waiting
    add(gathering, 1)
    assert gathering.take(0, STEP)[0].sound == ()


def test_sound_of_another_time_does_not_go() -> None:
    gathering = bundler()
    gathering.add_sound([Packet(50_000, said(1)), Packet(100_100, said(2)), Packet(99_000, said(3))])
    add(gathering, 0)
    (made,) = gathering.take(0, STEP)
    assert [each.data for each in made.sound] == [said(3)]


def test_of_sound_that_nobody_takes_the_newest_second_is_kept() -> None:
    gathering = bundler()
    gathering.add_sound([Packet(99_000 + 60 * n, said(n)) for n in range(20)])
    add(gathering, 0)
    (made,) = gathering.take(0, STEP)
    assert [each.data for each in made.sound] == [said(n) for n in range(4, 20)]


def repeated(before: Coded, now: Coded, repeats: int | None) -> tuple[list[tuple[int, bytes]], int]:
    """Frame, as the second of two bundles counts it, and data of each of its packets; how many go once more."""
    gathering = bundler()
    add(gathering, 0, 1)
    gathering.take(0, STEP, [before], repeats)
    add(gathering, 2, 3)
    (made,) = gathering.take(0, STEP, [now], repeats)
    assert made.base == 1
    return [(each.frame, each.data) for each in decoded(made).base], made.repeated


def test_what_others_depend_on_goes_once_more_where_it_was_asked_for() -> None:
    before, now = coded(1, b"before"), coded(3, b"now", sequence=1)
    assert repeated(before, now, 3) == ([(-1, b"before"), (1, b"now")], 1)
    assert repeated(before, now, None) == ([(1, b"now")], 0)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (coded(1, droppable=True), coded(3)),
        (coded(1, generation=2), coded(3)),
        (coded(1), coded(3, generation=4)),
    ],
    ids=["nothing depends on it", "an older key", "a newer key"],
)
def test_what_is_of_no_use_any_more_does_not(before: Coded, now: Coded) -> None:
    assert repeated(before, now, 3) == ([(1, now.data)], 0)


def test_nothing_goes_once_more_where_all_would_be_more_than_a_bundle_holds() -> None:
    gathering = bundler()
    half = bytes(MAX_BASE_BYTES // 2 - 1)
    add(gathering, 0, 1)
    gathering.take(0, STEP, [coded(0, half), coded(1, half, sequence=1)], 3)
    add(gathering, 2, 3)
    (made,) = gathering.take(0, STEP, [coded(3, b"now", sequence=2)], 3)
    assert [each.data for each in decoded(made).base] == [b"now"]


def test_a_packet_of_a_frame_that_was_dropped_lies_before_the_bundle() -> None:
    gathering = bundler()
    add(gathering, 0)
    gathering.take(0, STEP)
    add(gathering, 1, 2)
    gathering.clear()
    add(gathering, 4, 5)
    (made,) = gathering.take(0, STEP, [coded(2), coded(5, sequence=1)])
    assert [each.frame for each in decoded(made).base] == [-2, 1]
    assert 0 < made.base_bytes < len(made.data)


def test_clocks_travel_as_milliseconds_that_wrap() -> None:
    assert clock_ms(1.2345) == 1234
    assert clock_ms(2**32 / 1000 + 0.005) == 5
