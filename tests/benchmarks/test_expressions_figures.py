from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.expressions import Classifier, confusion, first_faces, performed, summary
from shared.models.engine import Engine
from shared.models.expression_network import POSE, STEPS, TrajectoryGenerator
from shared.models.expressions import ExpressionPerformer
from shared.models.layers import KEYPOINTS
from shared.motion import Motion
from shared.reactions import LABELS
from weights.training.expression_data import Trajectories


def some(seed: int, count: int = 60) -> Trajectories:
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % 6
    changes = chance.normal(0, 0.02, (count, POSE + 3 * KEYPOINTS, STEPS)).astype(np.float32)
    for row, label in enumerate(labels):
        changes[row, POSE + label] += np.linspace(0, 1, STEPS)
    return Trajectories(labels, np.zeros((count, 1), np.float32), changes)


def test_the_classifier_reads_what_it_learned_in_others_and_nothing_in_noise() -> None:
    classifier = Classifier.fit(some(0))
    other = some(1)
    assert np.array_equal(classifier.read(other.changes), other.labels)
    mixed = np.random.default_rng(2).permutation(other.labels)
    table = confusion(mixed, classifier.read(other.changes))
    assert table.sum() == 60
    assert np.trace(table) < 30


def test_every_face_performs_every_label() -> None:
    torch.manual_seed(0)
    generator = TrajectoryGenerator()
    generator.components.normal_()
    still = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((KEYPOINTS, 3), np.float32))
    made = performed(ExpressionPerformer(generator), [(np.zeros((KEYPOINTS, 3), np.float32), still)] * 2, seeds=3)
    assert made.changes.shape == (2 * 6 * 3, POSE + 3 * KEYPOINTS, STEPS)
    assert made.labels.tolist() == np.repeat(np.tile(np.arange(6), 2), 3).tolist()
    assert np.abs(made.changes[..., -1]).max() > 0


def test_the_summary_says_shares_and_means() -> None:
    figures = {f"{way} {what} {side}": 1.0 for way in ("performed", "still", "true motion")
               for what in ("PSNR", "SSIM") for side in (64, 256)}  # fmt: skip
    table = np.diag([3, 0, 1, 0, 0, 0])
    table[0, 1] = 1
    text = summary({"performed, read by clips": table.tolist(), "drawn": {"a": figures, "b": figures}})
    assert "80%, mean of labels 88%" in text
    assert all(label in text for label in LABELS)
    assert text.count("1.0 / 1.000") == 18


def test_a_folder_without_clips_is_refused(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ValueError, match="no clip"):
        first_faces(tmp_path_factory.mktemp("none"), engine)
