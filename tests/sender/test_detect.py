"""Likeness and strangeness: of a face with itself, in another light, and of what is none."""

from __future__ import annotations

import numpy as np
import pytest
from face_examples import HEIGHT, WIDTH, people, placed, room, with_hand

from sender.detect import Box, Presence, face_view, find_heads
from sender.framing import ALIKE, BARELY_ALIKE

PEOPLE = [placed(each, 170) for each in people(20)]
(HEAD,) = find_heads(PEOPLE[0])


def known() -> Presence:
    presence = Presence()
    presence.confirm(face_view(PEOPLE[0], HEAD), np.zeros((28, 3), np.float32))
    return presence


def test_a_face_is_like_itself_in_any_light() -> None:
    dark = (PEOPLE[1] * 0.3).astype(np.uint8)
    tinted = (PEOPLE[1] * [1.0, 0.8, 0.6]).astype(np.uint8)
    for picture in (*PEOPLE[:3], dark, tinted):
        assert known().likeness(face_view(picture, HEAD)) > 0.9


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros_like(PEOPLE[0]),
        np.full_like(PEOPLE[0], 200),
        room(),
        with_hand(PEOPLE[0], *HEAD.centre),
        np.random.default_rng(2).integers(0, 255, PEOPLE[0].shape, np.uint8),
        255 - PEOPLE[0],
    ],
    ids=["black", "white", "room", "hand", "noise", "negative"],
)
def test_what_is_no_face_is_like_none(picture: np.ndarray) -> None:
    assert known().likeness(face_view(picture, HEAD)) < BARELY_ALIKE < ALIKE


def test_a_view_that_was_confirmed_is_remembered_and_the_oldest_forgotten() -> None:
    presence, other = known(), face_view(255 - PEOPLE[0], HEAD)
    first = face_view(PEOPLE[0], HEAD)
    presence.confirm(other, np.zeros((28, 3), np.float32))
    assert presence.likeness(first) == pytest.approx(presence.likeness(other), abs=0.05)
    for _ in range(6):
        presence.confirm(other, np.zeros((28, 3), np.float32))
    assert presence.likeness(first) < BARELY_ALIKE


def test_strangeness_is_the_distance_and_follows_what_is_confirmed() -> None:
    presence, other = known(), np.full((28, 3), 0.3, np.float32)
    assert presence.strangeness(other) == pytest.approx(0.3)
    for _ in range(50):
        presence.confirm(face_view(PEOPLE[0], HEAD), other)
    assert presence.strangeness(other) < 0.01
    assert presence.strangeness(np.zeros((15, 3), np.float32)) == 0, "of another engine nothing is known"


def test_nothing_is_known_at_first() -> None:
    presence = Presence()
    assert not presence.knows
    assert presence.likeness(face_view(PEOPLE[0], HEAD)) == 0
    assert presence.strangeness(np.ones((28, 3), np.float32)) == 0


@pytest.mark.parametrize(
    "head", [Box(-60, -40, 150), Box(WIDTH - 40, HEIGHT - 60, 150), Box(-500, 0, 90), Box(3, 3, 0.5), Box(0, 0, 2000)]
)
def test_a_box_at_or_beyond_the_edge_has_a_view(head: Box) -> None:
    view = face_view(PEOPLE[0], head)
    assert view.shape == (24, 24)
    assert np.isfinite(view).all() and float(np.vdot(view, view)) <= 1.001
