from __future__ import annotations

from receiver.player import RETRY_SECONDS, SourceCountControl
from shared.gallery import MOST


def drawn(effort: SourceCountControl, seconds: float, frames: int, start: float = 0.0, sources: int = 2) -> None:
    for n in range(frames):
        effort.note(sources, seconds, start + n / 25)


def test_a_quick_machine_draws_from_all() -> None:
    effort = SourceCountControl(0.08)
    drawn(effort, 0.07, 500)
    assert effort.most == MOST


def test_a_slow_machine_draws_from_one_and_tries_again_later() -> None:
    effort = SourceCountControl(0.08)
    drawn(effort, 0.1, 20)
    assert effort.most == 1
    drawn(effort, 0.05, 20, start=2, sources=1)
    assert effort.most == 1
    drawn(effort, 0.05, 1, start=3 + RETRY_SECONDS, sources=1)
    assert effort.most == MOST
    drawn(effort, 0.05, 50, start=4 + RETRY_SECONDS)
    assert effort.most == MOST


def test_a_single_slow_frame_changes_nothing() -> None:
    effort = SourceCountControl(0.08)
    drawn(effort, 0.05, 30)
    drawn(effort, 0.3, 1, start=2)
    assert effort.most == MOST


def test_frames_of_one_source_say_nothing_about_two() -> None:
    effort = SourceCountControl(0.08)
    drawn(effort, 0.2, 100, sources=1)
    assert effort.most == MOST
