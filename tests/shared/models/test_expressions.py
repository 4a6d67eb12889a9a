from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from shared.models.engine import EngineError
from shared.models.expression_network import (
    LABEL_COUNT,
    NOISE,
    POSE,
    STEPS,
    TrajectoryDiscriminator,
    TrajectoryGenerator,
)
from shared.models.expressions import ExpressionPerformer, change_between, changed, moments
from shared.models.layers import KEYPOINTS
from shared.motion import FloatArray, Motion, keypoints
from shared.reactions import LABELS

CANONICAL = np.random.default_rng(5).normal(0, 0.5, (KEYPOINTS, 3)).astype(np.float32)


def a_motion(seed: int) -> Motion:
    chance = np.random.default_rng(seed)
    return Motion(
        chance.uniform(-20, 20, 3).astype(np.float32), float(chance.uniform(0.7, 1.3)),
        np.append(chance.uniform(-0.2, 0.2, 2), 0).astype(np.float32),
        chance.normal(0, 0.05, (KEYPOINTS, 3)).astype(np.float32),
    )  # fmt: skip


@pytest.fixture
def performer() -> ExpressionPerformer:
    torch.manual_seed(3)
    generator = TrajectoryGenerator()
    generator.components.normal_()
    return ExpressionPerformer(generator)


def far(a: Motion, b: Motion) -> float:
    return float(np.abs(keypoints(CANONICAL, a) - keypoints(CANONICAL, b)).max())


def test_it_begins_where_the_face_is_and_goes_on_smoothly(performer: ExpressionPerformer) -> None:
    start = a_motion(0)
    performed = performer.perform("surprise", start, CANONICAL, frames=40)
    assert len(performed) == 40
    assert np.array_equal(performed[0].vector(), start.vector())
    assert far(performed[-1], start) > 1e-3


def test_it_returns_to_where_it_began(performer: ExpressionPerformer) -> None:
    start = a_motion(1)
    performed = performer.perform("fear", start, CANONICAL, frames=50, returns=True)
    away = [far(each, start) for each in performed]
    assert away[-1] < 1e-6
    apex = performer.perform("fear", start, CANONICAL)[-1]
    assert far(performed[25], apex) < 1e-5


def test_labels_seeds_and_faces_make_other_performances(performer: ExpressionPerformer) -> None:
    start = a_motion(2)
    apexes = {label: performer.perform(label, start, CANONICAL)[-1] for label in LABELS}
    assert len({each.vector().tobytes() for each in apexes.values()}) == LABEL_COUNT == len(LABELS)
    other = performer.perform("anger", start, CANONICAL, seed=1)[-1]
    assert far(other, apexes["anger"]) > 1e-4
    again = performer.perform("anger", start, CANONICAL, seed=1)[-1]
    assert np.array_equal(again.vector(), other.vector())


def test_intensity_is_of_the_change(performer: ExpressionPerformer) -> None:
    start = a_motion(3)
    usual, half = (performer.perform("disgust", start, CANONICAL, intensity=i)[-1] for i in (1.0, 0.5))
    assert np.allclose(change_between(start, half), change_between(start, usual) / 2, atol=1e-4)
    still = performer.perform("disgust", start, CANONICAL, intensity=0.0)
    assert all(each is start for each in still)


@pytest.mark.parametrize(
    ("label", "more", "said"),
    [
        ("joy", {}, "happiness"),
        ("fear", {"frames": 1}, "2 to 1000"),
        ("fear", {"frames": 1001}, "2 to 1000"),
        ("fear", {"intensity": -0.1}, "0 to 2"),
        ("fear", {"intensity": float("nan")}, "0 to 2"),
    ],
)
def test_what_cannot_be_performed_is_said(
    performer: ExpressionPerformer, label: str, more: dict[str, float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        performer.perform(label, a_motion(4), CANONICAL, **more)  # type: ignore[arg-type]


def test_a_change_of_the_face_turns_with_the_head() -> None:
    start, later = a_motion(6), a_motion(7)
    change = change_between(start, later)
    assert np.allclose(changed(start, change).vector(), later.vector(), atol=1e-4)
    smile: FloatArray = np.zeros(POSE + 3 * KEYPOINTS, np.float32)
    smile[POSE + 1] = -0.5  # the first keypoint goes up, in the head's own direction
    leaned = Motion(
        np.array([0, 0, 90], np.float32), 1.0, np.zeros(3, np.float32), np.zeros((KEYPOINTS, 3), np.float32)
    )
    moved = changed(leaned, smile).expression[0]
    assert np.allclose(moved, [0.05, 0, 0], atol=1e-6)


def test_moments_go_there_stay_and_come_back() -> None:
    there = moments(32, returns=False)
    assert there[0] == 0
    assert there[-1] == 1
    assert np.all(np.diff(there) > 0)
    and_back = moments(101, returns=True)
    assert and_back[[0, 100]].tolist() == [0, 0]
    assert np.all(and_back[40:61] == 1)


def test_weights_are_read_from_a_file_and_others_refused(tmp_path: Path, performer: ExpressionPerformer) -> None:
    torch.manual_seed(3)
    generator = TrajectoryGenerator()
    path = tmp_path / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in generator.state_dict().items()}, path)
    loaded = ExpressionPerformer.load(path)
    assert len(loaded.perform("fear", a_motion(8), CANONICAL)) == STEPS
    save_file({"first.bias": torch.zeros(3)}, path)
    with pytest.raises(EngineError, match="another network"):
        ExpressionPerformer.load(path)


def test_the_networks_have_the_shapes_they_say() -> None:
    generator, discriminator = TrajectoryGenerator(), TrajectoryDiscriminator()
    label, identity = torch.arange(3), torch.zeros(3, 6 * KEYPOINTS)
    trajectory = generator(label, identity, torch.zeros(3, NOISE))
    assert trajectory.shape == (3, POSE + 3 * KEYPOINTS, STEPS)
    assert not trajectory[..., 0].any()
    assert discriminator(trajectory, label, identity).shape == (3,)
    assert sum(p.numel() for p in generator.parameters()) < 200_000
