from __future__ import annotations

import numpy as np

from shared.motion import Motion, rotation_matrix, to_the_front
from shared.resting_face import RestingFace


def face(value: float, yaw: float = 0.0) -> Motion:
    rotation = np.array([yaw, 0, 0], np.float32)
    expression = np.full((4, 3), value) @ rotation_matrix(rotation).T
    return Motion(rotation, 1.0, np.zeros(3, np.float32), np.asarray(expression, np.float32))


def test_a_turned_head_has_the_same_expression() -> None:
    for yaw in (-35.0, 0.0, 20.0):
        assert np.allclose(to_the_front(face(0.3, yaw)), 0.3, atol=1e-6)


def test_it_begins_with_the_first_face_and_follows_slowly() -> None:
    rest = RestingFace(5.0)
    assert rest.expression is None
    rest.see(face(1.0), 100.0)
    assert rest.expression is not None and np.allclose(rest.expression, 1.0)
    for n in range(1, 26):
        rest.see(face(0.0, yaw=n), 100.0 + n / 25)
    assert 0.75 < rest.expression.mean() < 0.85  # a second of five
    for n in range(26, 1000):
        rest.see(face(0.0), 100.0 + n / 25)
    assert abs(rest.expression).max() < 0.01


def test_a_clock_that_is_set_back_or_jumps_does_no_harm() -> None:
    rest = RestingFace(5.0)
    for value, now in ((1.0, 100.0), (0.0, 50.0)):
        rest.see(face(value), now)
    assert rest.expression is not None and np.allclose(rest.expression, 1.0)
    rest.see(face(0.2), 1000.0)
    assert np.allclose(rest.expression, 0.2, atol=1e-6)
