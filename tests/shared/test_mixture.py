from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from call_examples import KEYPOINTS, make_motion

from shared.gallery import FADE_FRAMES, MOST, Gallery, Held, Mixture, Share
from shared.motion import Motion


def held(source_id: int, yaw: float = 0.0, crop: int = 0) -> Held:
    return Held(source_id, crop, np.zeros((KEYPOINTS, 3), np.float32), make_motion(yaw))


def weights(shares: tuple[Share, ...]) -> dict[int, float]:
    return {share.held.source_id: pytest.approx(share.weight) for share in shares}


def moving(yaw: float, number: int) -> Motion:
    """A head that sways a little, so that fades are as fast as they get."""
    return replace(make_motion(yaw), translation=np.array([0.05 * (number % 2), 0, 0], np.float32))


def played(mixture: Mixture, sources: tuple[Held, ...], yaw: float, frames: range) -> list[dict[int, float]]:
    return [weights(mixture.step(sources, moving(yaw, number), number)) for number in frames]


def test_from_nothing_comes_nothing() -> None:
    assert Mixture().step((), make_motion(), 0) == ()


def test_the_first_sources_count_at_once() -> None:
    assert weights(Mixture().step((held(1),), make_motion(), 7)) == {1: 1.0}
    assert weights(Mixture().step((held(1, -5), held(2, 5)), make_motion(), 7)) == {1: 1.0, 2: 1.0}


def test_the_nearest_are_taken_and_none_that_is_far_behind_them() -> None:
    sources = (held(1, -40), held(2, 0), held(3, 8), held(4, 14))
    assert set(weights(Mixture().step(sources, make_motion(2), 0))) == {2, 3}
    assert set(weights(Mixture().step(sources, make_motion(-40), 0))) == {1}


def test_of_equal_poses_the_newest_is_taken() -> None:
    sources = tuple(held(n, 20) for n in range(4))
    assert weights(Mixture().step(sources, make_motion(20), 0)) == {3: 1.0}


def test_a_new_source_fades_in_evenly_while_one_of_another_pose_stays() -> None:
    mixture, old, new = Mixture(), held(1), held(2, 10)
    mixture.step((old,), make_motion(), 0)
    shares = played(mixture, (old, new), 0, range(1, FADE_FRAMES + 3))
    assert [each[2] for each in shares] == [min(1.0, n / FADE_FRAMES) for n in range(1, FADE_FRAMES + 3)]
    assert all(each[1] == 1.0 for each in shares)


def test_a_new_source_of_the_same_pose_takes_the_place_of_the_old_one() -> None:
    mixture, old, new = Mixture(), held(1), held(2)
    mixture.step((old,), make_motion(), 0)
    shares = played(mixture, (old, new), 0, range(1, FADE_FRAMES + 2))
    assert shares[1] == {1: 0.8, 2: 0.2}
    assert shares[-1] == {2: 1.0}


def test_one_that_is_no_longer_near_fades_out_and_is_gone() -> None:
    mixture, left, right = Mixture(), held(1, -20), held(2, 20)
    mixture.step((left, right), make_motion(), 0)
    shares = played(mixture, (left, right), 25, range(1, FADE_FRAMES + 2))
    assert [each.get(1) for each in shares[:3]] == [0.9, 0.8, 0.7]
    assert [set(each) for each in shares[-2:]] == [{2}, {2}]


def test_one_that_was_evicted_fades_out_too() -> None:
    mixture, old, new = Mixture(), held(1), held(2)
    mixture.step((old,), make_motion(), 0)
    shares = played(mixture, (new,), 0, range(1, 4))
    assert shares[2] == {1: 0.7, 2: 0.3}


def test_frames_left_out_make_larger_steps() -> None:
    mixture, old, new = Mixture(), held(1), held(2, 10)
    mixture.step((old,), make_motion(), 0)
    assert weights(mixture.step((old, new), moving(0, 5), 5))[2] == 0.5
    assert weights(mixture.step((old, new), moving(0, 4), 4))[2] == 0.6  # time does not run backwards


def test_on_a_still_head_a_change_takes_several_times_as_long() -> None:
    mixture, old, new = Mixture(), held(1), held(2, 10)
    mixture.step((old,), make_motion(), 0)
    shares = [weights(mixture.step((old, new), make_motion(), n)) for n in range(1, 70)]
    assert shares[2 * FADE_FRAMES][2] != 1.0
    assert shares[-1] == {1: 1.0, 2: 1.0}


def test_what_moves_hides_a_change_as_far_as_it_moves() -> None:
    old, new = held(1), held(2, 10)
    taken = []
    for step in (0.002, 0.004, 0.008, 0.1):
        mixture = Mixture()
        for number in range(60):
            sources = (old,) if number < 59 else (old, new)
            driving = replace(make_motion(), translation=np.array([step * (number % 2), 0, 0], np.float32))
            shares = mixture.step(sources, driving, number)
        taken.append(shares[1].weight)
    assert taken[0] < taken[1] < taken[2] == taken[3] == pytest.approx(1 / FADE_FRAMES)


def test_another_crop_is_a_cut() -> None:
    mixture = Mixture()
    mixture.step((held(1),), make_motion(), 0)
    assert weights(mixture.step((held(2, crop=1),), make_motion(), 1)) == {2: 1.0}


def test_no_fade_is_a_cut() -> None:
    mixture = Mixture(most=1, fade_frames=1)
    mixture.step((held(1),), make_motion(), 0)
    assert weights(mixture.step((held(1), held(2)), make_motion(), 1)) == {2: 1.0}


def test_a_head_between_two_sources_does_not_change_them_all_the_time() -> None:
    mixture, sources = Mixture(most=1, fade_frames=1), (held(1, -10), held(2, 10))
    taken = [
        mixture.step(sources, make_motion(yaw), n)[0].held.source_id for n, yaw in enumerate([3, 1, -1, 1, -1, 1, -1])
    ]
    assert taken == [2] * 7
    assert mixture.step(sources, make_motion(-8), 7)[0].held.source_id == 1


def test_never_many_at_once_whatever_comes() -> None:
    chance, mixture, gallery = np.random.default_rng(0), Mixture(), Gallery()
    before: dict[int, float] = {}
    for number in range(400):
        if number % 4 == 0:
            gallery.add(held(number, float(chance.uniform(-60, 60))))
        shares = mixture.step(gallery.sources, make_motion(float(chance.uniform(-60, 60))), number)
        assert 1 <= len(shares) <= MOST + 1
        assert all(0 < share.weight <= 1 for share in shares)
        now = {share.held.source_id: share.weight for share in shares}
        if number:
            assert all(abs(now.get(n, 0) - before.get(n, 0)) < 0.11 for n in now | before)
        before = now
        assert len({id(share.held) for share in shares}) == len(shares)


def test_both_sides_take_the_same() -> None:
    sources = {n: held(n, yaw=float(n * 37 % 120 - 60)) for n in range(30)}
    original, mirror, ours, theirs = Gallery(), Gallery(), Mixture(), Mixture()
    for n, source in sources.items():
        original.add(source)
        mirror.mirror(original.epoch, tuple(sources[s.source_id] for s in original.sources))
        driving = make_motion(yaw=float(n * 11 % 100 - 50))
        assert weights(ours.step(mirror.sources, driving, n)) == weights(theirs.step(original.sources, driving, n))
