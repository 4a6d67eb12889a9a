"""What the sender knows of the base that the receiver shows."""

from __future__ import annotations

import numpy as np
from base_examples import coded
from call_examples import make_motion

from sender.base_generation import BaseMirror
from shared.codec.base_video import BaseDecoder
from shared.models.base_fusion import FADE_SECONDS

STEP = 0.08


def mirror(packets: int) -> BaseMirror:
    """Of the scene's key and so many packets, whose frames have their number as yaw."""
    key, *others = coded()
    made = BaseMirror(64, 55, key.data, 0.0, make_motion(0))
    for number, each in enumerate(others[:packets], 1):
        made.add(each.data, STEP * number, make_motion(number))
    return made


def test_it_is_what_a_receiver_decodes_with_its_own_motion_and_age() -> None:
    decoder = BaseDecoder(64)
    key, *others = coded()
    picture = decoder.decode_key(key.data)
    for each in others[:5]:
        picture = decoder.decode(each.data)
    base = mirror(5).at(5 * STEP + 0.04)
    assert base is not None
    assert np.array_equal(base.picture, picture)
    assert (float(base.motion.rotation[0]), round(base.age, 6), base.crf) == (5, 0.04, 55)


def test_what_is_too_old_says_nothing() -> None:
    made = mirror(2)
    assert made.at(2 * STEP + FADE_SECONDS - 0.01) is not None
    assert made.at(2 * STEP + FADE_SECONDS + 0.01) is None


def test_a_frame_without_motion_leaves_the_one_before() -> None:
    made = mirror(2)
    made.add(coded()[3].data, 3 * STEP, None)
    base = made.at(3 * STEP)
    assert base is not None and round(base.age, 6) == STEP
    made.add(coded()[4].data, 4 * STEP, make_motion(4))
    assert made.at(4 * STEP) is not None


def test_what_never_goes_is_not_shown_and_others_follow() -> None:
    made = mirror(3)
    made.lose({2 * STEP})
    assert made.at(3 * STEP) is not None
    made.lose({3 * STEP})
    assert made.at(3 * STEP) is None


def test_what_was_before_is_forgotten_where_nobody_is_seen() -> None:
    made = mirror(1)
    made.forget()
    assert made.at(STEP) is None
    made.add(coded()[2].data, 2 * STEP, make_motion(2))
    base = made.at(2 * STEP)
    assert base is not None and base.age == 0
