"""What is left out on a busy processor, and in which order; times are simulated."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from sender.cpu_load import IN_TIME, LATE, LoadControl, Spare

EVERY = 0.04


def played(
    effort: LoadControl, late: Callable[[Spare, float], float], seconds: float, start: float = 0.0
) -> list[Spare]:
    """What was left out at each frame; `late` says how late it is then."""
    seen = []
    for n in range(round(seconds / EVERY)):
        now = start + n * EVERY
        effort.note(late(effort.spare, now), now)
        seen.append(effort.spare)
    return seen


def steps(seen: list[Spare]) -> list[Spare]:
    """Each as often as it began."""
    return [b for a, b in zip([None, *seen], seen, strict=False) if a is not b]


def test_a_processor_that_keeps_up_does_everything() -> None:
    assert set(played(LoadControl(), lambda *_: LATE, 20.0)) == {Spare.NOTHING}


def test_things_are_left_out_one_by_one_down_to_every_second_frame() -> None:
    effort = LoadControl()
    assert steps(played(effort, lambda *_: 0.3, 5.0)) == list(Spare)
    assert effort.leaves_out == 4


def test_no_more_is_left_out_than_helps() -> None:
    seen = played(LoadControl(), lambda spare, _: 0.02 if spare >= Spare.SOURCES else 0.2, 1.2)
    assert steps(seen) == [Spare.NOTHING, Spare.LOOKS, Spare.SOURCES]


def test_a_clock_that_has_nothing_to_do_with_ours_says_nothing() -> None:
    assert set(played(LoadControl(), lambda *_: 5000.0, 5.0)) == {Spare.NOTHING}


def test_one_late_frame_is_nothing() -> None:
    seen = played(LoadControl(), lambda _, now: 0.5 if round(now / EVERY) % 5 == 0 else 0.02, 10.0)
    assert set(seen) == {Spare.NOTHING}


def test_it_recovers_step_by_step_within_seconds() -> None:
    effort = LoadControl()
    played(effort, lambda *_: 0.3, 3.0)
    seen = played(effort, lambda *_: 0.02, 5.0, start=3.0)
    assert steps(seen) == [Spare.FRAMES, Spare.BASE, Spare.SOURCES, Spare.LOOKS, Spare.NOTHING]


def test_between_late_and_in_time_nothing_changes() -> None:
    effort = LoadControl()
    played(effort, lambda *_: 0.3, 0.5)
    before = effort.spare
    assert set(played(effort, lambda *_: (LATE + IN_TIME) / 2, 20.0, start=0.5)) == {before}


def test_what_was_too_much_is_taken_up_again_later_each_time() -> None:
    effort = LoadControl()
    seen = played(effort, lambda spare, _: 0.2 if spare is Spare.NOTHING else 0.02, 60.0)
    tries = [n * EVERY for n in range(1, len(seen)) if seen[n] is Spare.NOTHING and seen[n - 1] is not Spare.NOTHING]
    waits = [b - a for a, b in pairwise(tries)]
    assert waits[-1] > 1.5 * waits[0] > 0
    assert all(b > a - EVERY / 2 for a, b in pairwise(waits))
