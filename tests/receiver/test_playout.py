from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from call_examples import make_motion
from hypothesis import given
from hypothesis import strategies as st

from receiver.playout import DueFrame, Playout
from shared.codec.bundle import CLOCK_WRAP_MS, Bundle
from shared.motion import Motion, between

INTERVAL = 0.04
PER_BUNDLE = 5


def bundle(number: int, clock: float | None = None, count: int = PER_BUNDLE) -> Bundle:
    """Frames number, number + 1, ... of a steady 25 fps; the yaw of each is its number."""
    clock = number * INTERVAL if clock is None else clock
    frames = tuple(make_motion(yaw=number + i) for i in range(count))
    return Bundle(number & 0xFFFF, round(clock * 1000) % CLOCK_WRAP_MS, 1, INTERVAL * 1000, frames)


def play(
    playout: Playout, arrivals: list[tuple[float, Bundle]], end: float, start: float = 0.0
) -> list[tuple[float, DueFrame]]:
    """(time, frame) of everything shown between two times, looked at every 10 ms."""
    shown, waiting = [], sorted(arrivals, key=lambda pair: pair[0])
    for tick in range(round((end - start) / 0.01)):
        now = start + tick / 100
        while waiting and waiting[0][0] <= now:
            playout.add(waiting.pop(0)[1], now)
        while (frame := playout.due(now)) is not None:
            shown.append((now, frame))
    return shown


def steady(count: int, first: int = 0, delay: float = 0.05) -> list[tuple[float, Bundle]]:
    """Bundles that arrive a little after their last frame."""
    starts = range(first, first + count * PER_BUNDLE, PER_BUNDLE)
    return [((n + PER_BUNDLE) * INTERVAL + delay, bundle(n)) for n in starts]


def numbers(shown: list[tuple[float, DueFrame]]) -> list[int]:
    return [frame.number for _, frame in shown]


def test_nothing_is_due_before_anything_came() -> None:
    playout = Playout()
    assert playout.due(1e9) is None
    assert playout.next_time() is None
    assert playout.highest_frame is None
    assert playout.extra_delay == 0


def test_in_order_every_frame_is_shown_once_at_an_even_pace() -> None:
    playout = Playout()
    shown = play(playout, steady(10), 4)
    assert numbers(shown) == list(range(50))
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(shown[5:])]
    assert max(gaps) <= INTERVAL + 0.011
    assert playout.late == playout.skipped == playout.waiting == 0
    assert [round(float(f.motion.rotation[0])) for _, f in shown if f.motion] == list(range(50))


def test_reordered_bundles_are_put_in_order() -> None:
    arrivals = [(t + (0.0 if i % 3 else 0.25), b) for i, (t, b) in enumerate(steady(60))]
    playout = Playout()
    got = numbers(play(playout, arrivals, 14))
    assert got == sorted(got)
    assert got[-100:] == list(range(195, 295))  # numbers count from frame 5, which came first; nothing is late any more


def test_a_bundle_older_than_the_first_to_arrive_is_still_shown() -> None:
    playout = Playout()
    got = numbers(play(playout, [(0.50, bundle(105)), (0.51, bundle(100))], 2))
    assert got == list(range(-5, 5))
    assert playout.late == 0


def test_duplicates_change_nothing_on_screen() -> None:
    once, twice = Playout(), Playout()
    arrivals = steady(10)
    doubled = arrivals + [(t + 0.03, b) for t, b in arrivals]
    assert numbers(play(twice, doubled, 4)) == numbers(play(once, arrivals, 4)) == list(range(50))


def test_a_lost_bundle_costs_its_own_frames_only() -> None:
    playout = Playout()
    arrivals = [pair for i, pair in enumerate(steady(10)) if i not in (3, 7)]
    lost = {*range(15, 20), *range(35, 40)}
    assert numbers(play(playout, arrivals, 4)) == [n for n in range(50) if n not in lost]
    assert playout.late == playout.skipped == 0


@pytest.mark.parametrize("first", [65_530, 65_500, 32_765, 0])
def test_16_bit_frame_numbers_wrap(first: int) -> None:
    playout = Playout()
    got = numbers(play(playout, steady(30, first), 8 + first * INTERVAL + 2, first * INTERVAL))
    assert got == list(range(150))
    assert playout.highest_frame == (first + 145) & 0xFFFF


def test_the_20_bit_clock_wraps() -> None:
    start = CLOCK_WRAP_MS / 1000 - 2.0
    arrivals = [(t, bundle(round(b.first_frame), start + b.first_frame * INTERVAL)) for t, b in steady(30)]
    playout = Playout()
    shown = play(playout, arrivals, 8)
    assert numbers(shown) == list(range(150))
    assert all(b[1].capture > a[1].capture for a, b in itertools.pairwise(shown))


def test_numbers_go_on_for_days() -> None:
    playout = Playout()
    for day_step in range(0, 1_000_000, 10_000):
        playout.add(bundle(day_step), day_step * INTERVAL)
        frame = playout.due(day_step * INTERVAL + 5)
        assert frame is not None
        assert frame.number == day_step + PER_BUNDLE - 1


def test_when_late_the_newest_frame_is_shown() -> None:
    playout = Playout()
    for t, b in steady(4):
        playout.add(b, t)
    frame = playout.due(10.0)
    assert frame is not None
    assert frame.number == 19
    assert playout.due(10.0) is None
    assert playout.skipped == 19
    playout.add(bundle(10), 10.1)
    assert playout.due(20) is None
    assert playout.late == PER_BUNDLE


def test_never_holds_more_than_its_bound_and_keeps_the_newest() -> None:
    playout = Playout()
    for n in range(0, 5000, PER_BUNDLE):
        playout.add(bundle(n), 0.0)
        assert playout.waiting <= 250
    assert max(numbers(play(playout, [], 1000, 100))) == 4999


def test_jitter_is_hidden() -> None:
    chance = random.Random(1)
    arrivals = [(t + chance.random() * 0.15, b) for t, b in steady(200)]
    playout = Playout()
    shown = play(playout, arrivals, 42)
    settled = [(t, f) for t, f in shown if f.number >= 100]
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(settled)]
    assert len(settled) > 0.97 * 900
    assert sum(gap > 0.055 for gap in gaps) < 0.05 * len(gaps)
    assert 0.1 < playout.extra_delay < 0.3


def test_delay_grows_with_a_spike_and_shrinks_afterwards() -> None:
    playout = Playout()
    for t, b in steady(60):
        playout.add(b, t)
    calm = playout.extra_delay
    for n in range(300, 350, PER_BUNDLE):
        playout.add(bundle(n), (n + PER_BUNDLE) * INTERVAL + 0.6)
    spike = playout.extra_delay
    for n in range(350, 350 + 400 * PER_BUNDLE, PER_BUNDLE):
        playout.add(bundle(n), (n + PER_BUNDLE) * INTERVAL + 0.05)
    assert calm < 0.03
    assert spike > 0.5
    assert playout.extra_delay < 0.05


THIN = 2 * INTERVAL


def thin(number: int, yaws: tuple[float | None, ...], epoch: int = 1, clock: float | None = None) -> Bundle:
    """Motion at half the frame rate: frames number, number + 2, ... of the picture."""
    frames = tuple(None if yaw is None else make_motion(yaw=yaw) for yaw in yaws)
    clock = number * INTERVAL if clock is None else clock
    return Bundle(number & 0xFFFF, round(clock * 1000), epoch, THIN * 1000, frames)


def yaws(shown: list[tuple[float, DueFrame]]) -> dict[int, float | None]:
    return {f.number: None if f.motion is None else float(f.motion.rotation[0]) for _, f in shown}


@pytest.mark.parametrize(("waited", "here"), [(0.0, 0), (0.1, 0), (1.0, PER_BUNDLE)])
def test_frames_that_were_late_here_are_told_from_those_that_came_late(waited: float, here: int) -> None:
    playout, arrivals = Playout(), steady(10)
    missing = arrivals.pop(8)[1]
    play(playout, arrivals, 3.0)  # all others were shown
    playout.add(missing, 3.0, waited)
    assert (playout.late_here, playout.late) == (here, PER_BUNDLE - here)


def test_what_waited_here_is_not_behind() -> None:
    playout = Playout()
    for at, each in steady(20):
        playout.add(each, at)
    for at, each in steady(20, first=100):
        playout.add(each, at + 0.5, waited=0.45)
    assert playout.behind == pytest.approx(0.05)


def test_slow_motion_is_interpolated_within_and_between_bundles() -> None:
    playout = Playout(fps=25)
    arrivals = [((n + 10) * INTERVAL, thin(n, tuple(float(n + 2 * i) for i in range(5)))) for n in range(0, 60, 10)]
    shown = play(playout, arrivals, 4)
    assert yaws(shown) == {n: float(n) for n in range(59)}
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(shown)]
    assert max(gaps) <= INTERVAL + 0.011  # the frames between two bundles are there in time
    assert [f.capture for _, f in shown] == pytest.approx([n * INTERVAL for n in range(59)])
    assert playout.late == playout.skipped == 0


def test_bundles_in_the_wrong_order_are_interpolated_too() -> None:
    playout = Playout(fps=25)
    playout.add(thin(0, (0, 2)), 0.0)
    playout.add(thin(8, (8, 10)), 0.1)
    playout.add(thin(4, (4, 6)), 0.2)
    assert yaws(play(playout, [], 3)) == {n: float(n) for n in range(11)}


@pytest.mark.parametrize(
    "second",
    [
        thin(6, (6.0, 8.0)),  # a lost bundle between the two
        thin(4, (4.0, 6.0), epoch=2),
        thin(4, (4.0, 6.0), clock=4 * INTERVAL + 0.3),  # the camera stood still
    ],
)
def test_nothing_is_interpolated_across_gaps_and_epochs(second: Bundle) -> None:
    playout = Playout(fps=25)
    playout.add(thin(0, (0.0, 2.0)), 0.0)
    playout.add(second, 0.1)
    first = second.first_frame
    assert sorted(yaws(play(playout, [], 3))) == [0, 1, 2, first, first + 1, first + 2]


def test_nothing_is_interpolated_towards_a_lost_face() -> None:
    playout = Playout(fps=25)
    playout.add(thin(0, (0.0, 2.0, None, 6.0, 8.0)), 0.0)
    assert yaws(play(playout, [], 3)) == {0: 0, 1: 1, 2: 2, 4: None, 6: 6, 7: 7, 8: 8}


def test_every_number_of_a_motion_is_interpolated() -> None:
    a = Motion(np.array([0, 10, -4], np.float32), 1.0, np.array([0, 0.2, 0], np.float32), np.zeros((4, 3), np.float32))
    b = Motion(np.array([8, 0, 4], np.float32), 4.0, np.array([0.4, 0, 0], np.float32), np.ones((4, 3), np.float32))
    half = between(a, b, 0.5)
    assert half.rotation == pytest.approx([4, 5, 0])
    assert half.scale == pytest.approx(2.0)
    assert half.translation == pytest.approx([0.2, 0.1, 0])
    assert (half.expression == 0.5).all()
    assert between(a, b, 0.25).expression[0, 0] == 0.25


@pytest.mark.parametrize(
    ("fps", "step", "shown"), [(60, 5, [0, 2, 4, 5, 7, 9, 10]), (60, 2, [0, 2, 4]), (30, 2, [*range(5)])]
)
def test_of_a_fast_camera_no_more_frames_are_made_up_than_needed(fps: float, step: int, shown: list[int]) -> None:
    playout = Playout(fps=fps)
    playout.add(Bundle(0, 0, 1, 1000 * step / fps, (make_motion(),) * 3), 0.0)
    numbers = []
    for n in range(200):
        while (frame := playout.due(n / 200)) is not None:
            numbers.append(frame.number)
    assert numbers == shown


def test_frames_made_up_too_late_are_left_out() -> None:
    playout = Playout(fps=25)
    playout.add(thin(0, (0.0, 2.0)), 0.0)
    playout.add(thin(8, (8.0, 10.0)), 0.0)
    while (frame := playout.due(0.4)) is not None:
        newest = frame.number
    assert newest == 8
    playout.add(thin(4, (4.0, 6.0)), 0.4)
    assert playout.late == 2
    assert sorted(yaws(play(playout, [], 3, 0.4))) == [9, 10]


def test_what_waits_in_the_link_shows_and_single_losses_do_not() -> None:
    playout = Playout()
    for n in range(40):
        repaired = 1.0 if n % 4 == 3 else 0.0
        playout.add(bundle(n * PER_BUNDLE), (n + 1) * PER_BUNDLE * INTERVAL + repaired)
    assert playout.behind == pytest.approx(0, abs=1e-6)
    for n in range(40, 50):
        playout.add(bundle(n * PER_BUNDLE), (n + 1) * PER_BUNDLE * INTERVAL + 0.4)
    assert playout.behind == pytest.approx(0.4, abs=1e-6)


def test_long_bundles_are_in_time_though_a_short_one_was_faster() -> None:
    playout = Playout()
    long = [((n + 19) * INTERVAL + 0.3, bundle(n, count=20)) for n in range(1, 400, 20)]
    shown = play(playout, [(0.1, bundle(0, count=1)), *long], 20)
    assert numbers(shown)[-380:] == list(range(21, 401))  # only the change itself may cost frames
    assert playout.late <= 20
    assert playout.extra_delay == pytest.approx(0.2, abs=0.05)


def test_larger_bundles_do_not_look_like_a_queue() -> None:
    playout = Playout()
    for n in range(0, 50, 5):
        playout.add(bundle(n), (n + 4) * INTERVAL)
    for n in range(50, 150, 10):
        playout.add(bundle(n, count=10), (n + 9) * INTERVAL)
    assert playout.behind == pytest.approx(0, abs=1e-6)


def test_frames_without_a_face_are_frames() -> None:
    playout = Playout()
    playout.add(Bundle(0, 0, 1, 40.0, (None, make_motion(), None)), 0.0)
    assert [f.motion is None for _, f in play(playout, [], 1)] == [True, False, True]


WILD = st.tuples(
    st.integers(0, 0xFFFF),
    st.integers(0, CLOCK_WRAP_MS - 1),
    st.sampled_from([0.1, 40.0, 409.5]),
    st.integers(1, 16),
    st.floats(0, 0.5),
)


@given(st.lists(WILD, max_size=60))
def test_hostile_clocks_do_no_harm(bundles: list[tuple[int, int, float, int, float]]) -> None:
    playout, now, taken, shown = Playout(), 1000.0, 0, 0
    for number, clock, interval, count, pause in bundles:
        playout.add(Bundle(number, clock, 0, interval, (make_motion(),) * count), now)
        taken += count
        now += pause
        shown += playout.due(now) is not None
        following = playout.next_time()
        assert playout.waiting <= 250
        assert following is None or following == following  # not NaN
        assert playout.highest_frame is None or 0 <= playout.highest_frame <= 0xFFFF
    assert shown + playout.late + playout.skipped + playout.waiting <= taken


def test_honest_frames_play_again_after_wild_clocks() -> None:
    playout = Playout()
    for t, b in steady(10):
        playout.add(b, t)
    for clock in (4e6, 1e6, 3e6):
        playout.add(bundle(50, clock), 2.2)
    shown = play(playout, steady(700, 60), 145, 2.3)
    assert numbers(shown)[-1] == 60 + 700 * PER_BUNDLE - 1


def test_the_motion_at_a_number_is_known_after_it_was_shown_and_made_up_where_it_is_missing() -> None:
    playout = Playout()
    for first in (0, 10, 30):
        playout.add(bundle(first), 0.0)
    while playout.due(100.0) is not None:
        pass

    def yaw(number: int, step: int = 1, least: int = 0) -> float | None:
        motion = playout.motion_at(number, step, lambda frame: frame.number >= least)
        return None if motion is None else float(motion.rotation[0])

    assert [yaw(number) for number in (0, 4, 12, 34)] == [0, 4, 12, 34]
    assert yaw(7) == pytest.approx(7)  # between 4 and 10
    assert (yaw(15), yaw(16), yaw(16, step=2), yaw(35)) == (14, None, 14, 34)
    assert (yaw(4, least=5), yaw(9, least=5), yaw(3, least=4)) == (None, 10, 4)


def test_no_motion_is_made_up_where_there_was_no_face() -> None:
    playout = Playout()
    motions = [make_motion(0.0), None, make_motion(2.0), make_motion(3.0)]
    playout.add(Bundle(0, 0, 1, 1000 * INTERVAL, tuple(motions)), 0.0)
    playout.add(Bundle(5, 200, 1, 1000 * INTERVAL, (make_motion(5.0),)), 0.0)
    assert [playout.motion_at(number, 1, lambda frame: True) is None for number in range(6)] == [
        False, True, False, False, False, False,
    ]  # fmt: skip
    assert playout.is_faceless(1) and not playout.is_faceless(0) and not playout.is_faceless(4)
    assert playout.face_was_lost(0, 2) and not playout.face_was_lost(2, 5)


def test_where_a_bundle_was_put_comes_back() -> None:
    playout = Playout()
    assert playout.add(bundle(65533), 0.0) == (0, pytest.approx(65533 * INTERVAL % (CLOCK_WRAP_MS / 1000)), 1)
    placed = playout.add(Bundle(2, 0, 1, 2000 * INTERVAL, (None,)), 0.0)
    assert (placed.number, placed.step) == (5, 2)
