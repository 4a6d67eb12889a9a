"""Which expression is read off a face, when, and that speech and turns are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sender.expression_reader import AGAIN_SECONDS, HELD_SECONDS, ExpressionReader
from shared.motion import FloatArray, Motion, rotation_matrix
from shared.reactions import LABELS

KEYPOINTS = 28
CANONICAL = np.zeros((KEYPOINTS, 3), np.float32)
REST = np.random.default_rng(1).normal(0, 0.03, (KEYPOINTS, 3)).astype(np.float32)
APEXES = np.random.default_rng(2).normal(0, 0.05, (len(LABELS), KEYPOINTS, 3)).astype(np.float32)


class Performs:
    """Adds an apex of its own for each label."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    def perform(
        self, label: str, motion: Motion, canonical: FloatArray, *, frames: int = 32, intensity: float = 1.0,
        seed: int = 0, returns: bool = False,
    ) -> list[Motion]:  # fmt: skip
        self.labels.append(label)
        apex = motion.expression + intensity * APEXES[LABELS.index(label)]
        return [motion, replace(motion, expression=np.asarray(apex, np.float32))]


def face(change: FloatArray | float = 0.0, yaw: float = 0.0) -> Motion:
    rotation = np.array([yaw, 0, 0], np.float32)
    expression = (REST + change) @ rotation_matrix(rotation).T
    return Motion(rotation, 1.0, np.zeros(3, np.float32), np.asarray(expression, np.float32))


class Watched:
    """A reader that has seen a face at rest for half a second."""

    def __init__(self) -> None:
        self.performs, self.now = Performs(), 0.0
        self.reader = ExpressionReader(self.performs)
        assert self.see(face(), 0.5) == []

    def see(self, motion: Motion, seconds: float) -> list[int]:
        """The numbers that are read."""
        read = []
        for _ in range(round(25 * seconds)):
            self.now += 0.04
            read.append(self.reader.read(motion, CANONICAL, self.now))
        return [each for each in read if each is not None]


@pytest.mark.parametrize("number", range(1, 7))
def test_each_expression_is_read_once_also_weaker_and_with_the_head_turned(number: int) -> None:
    for strength, yaw in ((1.0, 0.0), (0.7, 0.0), (1.0, 30.0)):
        watched = Watched()
        assert watched.see(face(strength * APEXES[number - 1], yaw), 2.0) == [number]
    assert watched.performs.labels == list(LABELS)


def test_a_moment_is_not_enough() -> None:
    watched = Watched()
    for _ in range(4):
        assert watched.see(face(APEXES[0]), HELD_SECONDS - 0.1) == []
        assert watched.see(face(), 0.2) == []


def test_it_is_read_again_after_a_while() -> None:
    watched = Watched()
    assert watched.see(face(APEXES[1]), 1.0) == [2]
    assert watched.see(face(), 1.0) == [] == watched.see(face(APEXES[4]), 2.0)
    assert watched.see(face(), AGAIN_SECONDS) == []
    assert watched.see(face(APEXES[4]), 1.0) == [5]


def test_rest_a_turn_and_what_is_like_none_are_no_expression() -> None:
    other = np.random.default_rng(9).normal(0, 0.05, (KEYPOINTS, 3)).astype(np.float32)
    for motion in (face(), face(yaw=40.0), face(other), face(0.3 * APEXES[0])):
        assert Watched().see(motion, 3.0) == []
