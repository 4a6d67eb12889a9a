"""Appearances are read off the face: not off its place, its light or what is behind it."""

from __future__ import annotations

import numpy as np
import pytest

from shared.models.appearance import (
    DIMENSIONS,
    FEATURES,
    THRESHOLD,
    Appearances,
    distance,
    face_reader,
    load_appearances,
    project,
)
from shared.models.engine import Picture
from weights.training.appearance import coarse, discriminant, lit, shifted


@pytest.fixture(scope="module")
def appearances() -> Appearances:
    return load_appearances()


def test_an_appearance_has_length_one(appearances: Appearances, person: list[Picture]) -> None:
    found = appearances(person[0])
    assert (found.shape, found.dtype) == ((DIMENSIONS,), np.float32)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_one_person_stays_one(appearances: Appearances, person: list[Picture]) -> None:
    first, chance = appearances(person[0]), np.random.default_rng(0)
    for rgb in person[10::20]:
        for other in (rgb, shifted(rgb, chance), lit(rgb, chance), coarse(rgb, 128, 50)):
            assert float(distance(first, appearances(other))) < THRESHOLD


def test_the_size_of_the_picture_hardly_matters(appearances: Appearances, person: list[Picture]) -> None:
    large = np.repeat(np.repeat(person[0], 2, 0), 2, 1)
    assert float(distance(appearances(large), appearances(person[0]))) < 0.1


def test_what_is_beside_the_face_is_not_seen(person: list[Picture]) -> None:
    view = face_reader().view(person[0]).numpy()
    assert view.shape == (3, 64, 64)
    assert not view[:, [0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert np.abs(view[:, 32]).max() > 0.1


def test_a_face_without_contrast_is_described_too(appearances: Appearances) -> None:
    grey = np.full((256, 256, 3), 128, np.uint8)
    assert np.isfinite(appearances(grey)).all()


def test_the_discriminant_keeps_what_differs_between_people() -> None:
    chance = np.random.default_rng(0)
    people = [f"p{n}" for n in range(40) for _ in range(10)]
    own, loud = chance.normal(size=(40, 100)), chance.normal(size=(400, 100)) * 2
    rows = np.zeros((400, FEATURES))
    rows[:, :100], rows[:, 100:200] = np.repeat(own, 10, 0) + 0.1 * chance.normal(size=(400, 100)), loud
    mean, axes = discriminant(rows, people)
    assert axes.shape == (FEATURES, DIMENSIONS)
    placed = project(rows.astype(np.float32), mean.astype(np.float32), axes.astype(np.float32)).reshape(40, 10, -1)
    within = distance(placed[:, 1:], placed[:, :1]).max()
    between = min(float(distance(placed[a, 0], placed[b, 0])) for a in range(40) for b in range(a))
    assert within < between


def test_too_few_people_are_refused() -> None:
    with pytest.raises(ValueError, match="need more than 32 people"):
        discriminant(np.zeros((10, FEATURES)), ["one"] * 10)
