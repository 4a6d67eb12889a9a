from __future__ import annotations

import numpy as np
import pytest
from call_examples import make_motion
from kept import elements

from shared.gallery import BOUND, EPOCHS, Gallery, Held


def held(source_id: int, yaw: float = 0.0, crop: int = 0) -> Held:
    return Held(source_id, crop, np.zeros((4, 3), np.float32), make_motion(yaw))


def ids(sources: tuple[Held, ...]) -> list[int]:
    return [source.source_id for source in sources]


def filled(count: int = BOUND) -> Gallery:
    gallery = Gallery()
    for n in range(count):
        gallery.add(held(n, yaw=10 * n))
    return gallery


def test_never_more_than_the_bound_and_the_newest_always_stays() -> None:
    gallery = Gallery()
    for n in range(50):
        gallery.add(held(n, yaw=float(n * 37 % 120 - 60)))
        assert len(gallery.sources) == min(n + 1, BOUND)
        assert gallery.sources[-1].source_id == n


def test_the_source_most_like_another_goes() -> None:
    gallery = filled()
    gallery.add(held(99, yaw=31))  # source 3 is at 30 degrees: everybody else is 10 degrees from the next
    assert ids(gallery.sources) == [0, 1, 2, 4, 5, 99]


def test_eviction_keeps_the_poses_covered() -> None:
    gallery = Gallery()
    for n, yaw in enumerate([-50, 50, 0, *[0.1 * i for i in range(40)]]):
        gallery.add(held(n, yaw=yaw))
    assert {-50, 50} <= {round(float(s.motion.rotation[0])) for s in gallery.sources}


def test_a_new_crop_empties_the_gallery() -> None:
    gallery = filled(4)
    gallery.add(held(9, crop=1))
    assert ids(gallery.sources) == [9]


def test_a_source_that_comes_again_replaces_itself_and_is_not_dropped() -> None:
    gallery = filled(3)
    assert gallery.add(held(1, yaw=55)) == set()
    assert ids(gallery.sources) == [0, 2, 1]
    assert gallery.sources[-1].motion.rotation[0] == 55


def test_epochs_advance_by_one_and_wrap() -> None:
    gallery = Gallery()
    seen = []
    for n in range(EPOCHS + 3):
        gallery.add(held(n))
        seen.append(gallery.epoch)
    assert seen == [*range(1, EPOCHS), 0, 1, 2, 3]
    assert ids(gallery.at(3)) == ids(gallery.sources)


def test_frames_under_way_are_drawn_from_the_sources_of_their_epoch() -> None:
    gallery = filled()
    before = gallery.epoch
    assert gallery.add(held(99, yaw=31, crop=1)) == set()  # all are still needed
    assert ids(gallery.sources) == [99]
    assert ids(gallery.at(before)) == list(range(BOUND))


def test_ids_are_dropped_when_no_remembered_epoch_needs_them() -> None:
    gallery, dropped = filled(), set[int]()
    for n in range(100, 110):
        dropped |= gallery.add(held(n, crop=1))
        remembered = {i for epoch in range(gallery.epoch - 7, gallery.epoch + 1) for i in ids(gallery.at(epoch))}
        assert not dropped & remembered
    assert set(range(BOUND)) <= dropped


@pytest.mark.parametrize("epoch", [0, 77, 255])
def test_at_an_unknown_epoch_gives_the_present_sources(epoch: int) -> None:
    gallery = Gallery()
    for n in range(20):
        gallery.add(held(n))
    assert ids(gallery.at(epoch)) == ids(gallery.sources)


def test_what_is_remembered_is_bounded() -> None:
    gallery = Gallery()
    for n in range(50):
        gallery.add(held(n))
    soon = elements(gallery)
    for n in range(50, 250):
        gallery.add(held(n))
    assert elements(gallery) <= soon
