from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.models.expression_network import POSE, STEPS
from shared.models.expressions import ExpressionPerformer, changed
from shared.models.layers import KEYPOINTS
from shared.motion import Motion
from shared.reactions import LABELS
from weights.training.checkpoint import write_weights
from weights.training.expression_data import HELD_OUT, Performances, Row, Trajectories, change_of, read_labels
from weights.training.expression_motions import ClipMotions, load_motions, save_motions
from weights.training.expression_trainer import ExpressionTrainer
from weights.training.facial_actions import MEASURES, PROTOTYPES, UNITS, Actions, measures

NEUTRAL = np.random.default_rng(0).normal(0, 0.3, (478, 3)).astype(np.float32)


def clip(person: str, seed: int, frames: int = 30) -> ClipMotions:
    """A face that opens its mouth and raises its brows at random; deformations follow the landmarks 13 and 107."""
    chance = np.random.default_rng(seed)
    amounts = chance.uniform(0, 0.3, (frames, 2))
    faces = np.repeat(NEUTRAL[None], frames, axis=0)
    faces[:, 13, 1] -= amounts[:, 0]
    faces[:, (55, 107, 285, 336), 1] -= amounts[:, 1:]
    vectors = np.zeros((frames, 7 + 3 * KEYPOINTS), np.float32)
    vectors[:, 3] = 1
    vectors[:, 7] = amounts[:, 0]
    vectors[:, 8] = amounts[:, 1]
    vectors[:, 0] = np.linspace(0, 5, frames)
    canonical = chance.normal(0, 0.3, (KEYPOINTS, 3)).astype(np.float32)
    return ClipMotions(person, np.arange(frames), vectors, canonical, faces, np.ones(frames, bool))


def clips() -> dict[str, ClipMotions]:
    return {f"{person}_a": clip(person, n) for n, person in enumerate(("a", "b", "c", "d"))}


ROWS = [Row("a_a", 2, 20, "surprise", "onset", ""), Row("b_a", 0, 29, "anger", "held", ""),
        Row("c_a", 25, 3, "fear", "pair", "")]  # fmt: skip


def test_the_labels_of_the_repository_are_read_and_every_label_is_held_out_and_left() -> None:
    rows = read_labels()
    assert {row.label for row in rows} == set(LABELS)
    out = {row.label for row in rows if row.file.partition("_")[0] in HELD_OUT}
    left = {row.label for row in rows if row.file.partition("_")[0] not in HELD_OUT}
    assert out == left == set(LABELS)


def test_a_line_that_says_nothing_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,start,apex,label,shows,how\na,0,5,joy,onset,by eye\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2"):
        read_labels(path)


def test_actions_are_what_landmarks_and_keypoints_do_together() -> None:
    known = clips().values()
    actions = Actions.fit((measures(each.faces), each.vectors[:, 7:]) for each in known)
    raised = actions.deformation({1: 1.0})
    assert raised[1] > 0.1
    assert abs(raised[0]) < 0.3 * raised[1]
    assert actions.deformation({4: 1.0})[1] < -0.05
    assert np.allclose(actions.deformation({1: 0.5}), raised / 2)


def test_prototypes_are_of_known_units_and_measures() -> None:
    assert set(PROTOTYPES) == set(LABELS)
    assert {unit for ways in PROTOTYPES.values() for way in ways for unit in way} <= set(UNITS)
    assert {name for moves in UNITS.values() for name in moves} == set(MEASURES)


def test_an_onset_is_the_clips_own_movement_and_can_be_read_backwards() -> None:
    vectors = clip("a", 0).vectors
    forward, backward = change_of(vectors, 4, 24), change_of(vectors, 24, 4)
    for change, start, apex in ((forward, 4, 24), (backward, 24, 4)):
        assert change.shape == (POSE + 3 * KEYPOINTS, STEPS)
        assert not change[:, 0].any()
        reached = changed(Motion.from_vector(vectors[start]), change[:, -1])
        assert np.allclose(reached.vector(), vectors[apex], atol=1e-5)


def test_examples_leave_people_out_and_are_repeated_by_their_seed() -> None:
    performances = Performances(clips(), ROWS, without=["b"])
    assert performances.counts == {label: int(label in ("surprise", "fear")) for label in LABELS}
    first, second = (performances.labelled(2, np.random.default_rng(1)) for _ in range(2))
    assert first.labels.tolist() == [LABELS.index("surprise")] * 2 + [LABELS.index("fear")] * 2
    assert np.array_equal(first.changes, second.changes)
    assert np.array_equal(first.identities, second.identities)
    said = performances.by_actions(12, np.random.default_rng(1))
    assert said.labels.tolist() == [0, 1, 2, 3, 4, 5] * 2
    assert not said.changes[..., 0].any()


def test_motions_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "motions.npz"
    save_motions(path, clips())
    kept = load_motions(path)
    assert list(kept) == list(clips())
    assert kept["c_a"].person == "c"
    assert np.array_equal(kept["c_a"].vectors, clips()["c_a"].vectors)
    assert np.allclose(kept["c_a"].faces, clips()["c_a"].faces, atol=2e-3)


def a_set(seed: int) -> Trajectories:
    """Six labels, each of which moves ten numbers of its own."""
    chance = np.random.default_rng(seed)
    labels = np.arange(60) % 6
    changes = np.zeros((60, POSE + 3 * KEYPOINTS, STEPS), np.float32)
    for row, label in enumerate(labels):
        changes[row, POSE + 10 * label : POSE + 10 * label + 10] = np.linspace(0, chance.uniform(0.8, 1.2), STEPS)
    return Trajectories(labels, chance.normal(0, 1, (60, 6 * KEYPOINTS)).astype(np.float32), changes)


def test_training_learns_labels_and_goes_on_after_a_break_as_without(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = ExpressionTrainer(a_set(1), a_set(2), seed=4, rate=2e-3)
    first = whole.step(12).reconstruction
    for _ in range(79):
        last = whole.step(12)
    assert last.reconstruction < 0.5 * first
    broken = ExpressionTrainer(a_set(1), a_set(2), seed=4, rate=2e-3)
    for _ in range(40):
        broken.step(12)
    torch.save(broken.state(), tmp_path / "state.pt")
    other = ExpressionTrainer(a_set(1), a_set(2), seed=9, rate=2e-3)
    other.restore(torch.load(tmp_path / "state.pt", weights_only=False))
    for _ in range(40):
        resumed = other.step(12)
    assert resumed == last
    write_weights(tmp_path / "expression.safetensors", other.generator.state_dict())
    performer = ExpressionPerformer.load(tmp_path / "expression.safetensors")
    still = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((KEYPOINTS, 3), np.float32))
    canonical = np.zeros((KEYPOINTS, 3), np.float32)
    apexes = [performer.perform(label, still, canonical)[-1].expression.reshape(-1)[:60] for label in LABELS]
    assert [int(np.argmax(each.reshape(6, 10).mean(1))) for each in apexes] == list(range(6))
