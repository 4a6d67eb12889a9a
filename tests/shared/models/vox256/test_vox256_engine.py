"""The engine around the networks, with tiny ones in their place."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from shared.models.engine import EngineError, Picture
from shared.models.vox256 import engine as module
from shared.models.vox256.engine import KEYPOINTS, Vox256Engine
from shared.models.vox256.generator import Drawn
from shared.models.vox256.motion import BINS, Pose, angles
from shared.motion import Motion, keypoints


class Detector(nn.Module):
    """Every keypoint where the picture's mean says."""

    def forward(self, picture: Tensor) -> Tensor:
        return picture.mean((2, 3))[:, None].expand(-1, KEYPOINTS, 3)


class Estimator(nn.Module):
    """A yaw of 30 degrees, the picture's side as translation."""

    def forward(self, picture: Tensor) -> Pose:
        bins = torch.zeros(1, 3, BINS)
        bins[0, 0, 43] = bins[0, 1, 33] = bins[0, 2, 33] = 50
        return Pose(
            *bins.unbind(1), torch.tensor([[picture.shape[-1] / 1000, 0.0, 0.25]]), torch.zeros(1, 3 * KEYPOINTS)
        )


class Motions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kp_detector, self.he_estimator = Detector(), Estimator()
        self.unused = nn.Parameter(torch.zeros(1))


class Painter(nn.Module):
    """Adds to the source how far its first keypoint moves to the right."""

    seen: ClassVar[list[Tensor]] = []
    """What any was asked to draw from last."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(3)

    def encode(self, picture: Tensor) -> Tensor:
        return self.norm(picture)

    def draw(self, volume: Tensor, source: Tensor, driving: Tensor) -> Drawn:
        Painter.seen[:] = [source, driving]
        return Drawn(volume + (driving - source)[:, 0, 0], volume, volume)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setattr(module, "MotionNetworks", Motions)
    monkeypatch.setattr(module, "Generator", Painter)
    save_file(Motions().state_dict(), tmp_path / "motion.safetensors")
    save_file(Painter().state_dict(), tmp_path / "generator.safetensors")
    return tmp_path / "motion.safetensors", tmp_path / "generator.safetensors"


def grey(level: int, side: int = 256) -> Picture:
    return np.full((side, side, 3), level, np.uint8)


def still(shift: float = 0.0) -> Motion:
    zeros = np.zeros((KEYPOINTS, 3), np.float32)
    return Motion(np.zeros(3, np.float32), 1.0, np.array([shift, 0, 0], np.float32), zeros)


CANONICAL = np.zeros((KEYPOINTS, 3), np.float32)


def test_a_motion_is_degrees_depth_and_a_scale_of_one(files: tuple[Path, Path]) -> None:
    canonical, motion = Vox256Engine(*files).extract(grey(51, 100))
    assert canonical == pytest.approx(np.full((KEYPOINTS, 3), 0.2), abs=1e-6)
    assert motion.rotation == pytest.approx([30 * 3.14 / np.pi, 0, 0], abs=1e-3)
    assert motion.scale == 1 and motion.translation == pytest.approx([0.256, 0, 0.25])
    assert keypoints(canonical, motion).shape == motion.expression.shape == (15, 3)


def test_angles_are_means_of_bins() -> None:
    logits = torch.full((1, 3, BINS), -100.0)
    logits[0, 0, [10, 11]] = 0
    logits[0, 1, 0] = logits[0, 2, 65] = 0
    zeros = torch.zeros(1, 3)
    found = angles(Pose(*logits.unbind(1), zeros, zeros))[0] * np.pi / 3.14
    assert found.tolist() == pytest.approx([-67.5, -99, 96], abs=1e-3)


def test_it_draws_from_the_heaviest_source(files: tuple[Path, Path]) -> None:
    engine = Vox256Engine(*files)
    dark, light = (engine.prepare(grey(level), CANONICAL, still()) for level in (40, 200))
    assert np.abs(engine.draw([(dark, 0.2), (light, 0.8)], still()) - 200.0).max() <= 1
    assert np.abs(engine.draw([(dark, 0.5), (light, 0.5)], still()) - 40.0).max() <= 1
    assert np.abs(engine.draw([(dark, 1.0)], still(0.2)) - (40 + 51.0)).max() <= 1


def test_keypoints_of_both_are_the_sources_canonical_ones_moved(files: tuple[Path, Path]) -> None:
    engine = Vox256Engine(*files)
    canonical, motion = engine.extract(grey(90))
    engine.draw([(engine.prepare(grey(90), canonical, motion), 1.0)], still(0.5))
    source, driving = Painter.seen
    assert source[0].numpy() == pytest.approx(keypoints(canonical, motion))
    assert driving[0].numpy() == pytest.approx(keypoints(canonical, still(0.5)))


def test_adasr_works_at_512_and_may_show_less(files: tuple[Path, Path]) -> None:
    engine = Vox256Engine(*files, name="adasr")
    assert engine.extract(grey(51))[1].translation[0] == pytest.approx(0.512)
    source = engine.prepare(grey(40), CANONICAL, still())
    assert source.volume.shape == (1, 3, 512, 512)
    assert engine.draw([(source, 1.0)], still()).shape == (256, 256, 3)
    large = Vox256Engine(*files, name="adasr", size=512)
    drawn = large.draw([(large.prepare(grey(40, 512), CANONICAL, still()), 1.0)], still())
    assert drawn.shape == (512, 512, 3) and drawn.dtype == np.uint8


def test_a_larger_picture_than_trained_is_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(EngineError, match="vox256 draws 256x256: use --size 256"):
        Vox256Engine(*files, size=512)


def test_only_adasr_may_lack_norms(files: tuple[Path, Path]) -> None:
    save_file({"bias": torch.zeros(1)}, files[1])
    engine = Vox256Engine(*files, name="adasr")
    assert np.abs(engine.draw([(engine.prepare(grey(40), CANONICAL, still()), 1.0)], still()) - 40.0).max() <= 1
    with pytest.raises(EngineError, match=r"5 tensors differ, such as norm\.bias"):
        Vox256Engine(*files)


@pytest.mark.parametrize("name", ["vox256", "adasr"])
def test_files_that_are_no_weights_are_refused(files: tuple[Path, Path], name: str) -> None:
    files[1].write_text("no weights")
    with pytest.raises(EngineError, match="not a readable safetensors file"):
        Vox256Engine(*files, name=name)


def test_without_a_generator_it_only_extracts(files: tuple[Path, Path]) -> None:
    engine = Vox256Engine(files[0], None)
    canonical, motion = engine.extract(grey(40))
    with pytest.raises(EngineError, match="without a generator"):
        engine.prepare(grey(40), canonical, motion)


def test_sources_of_another_shape_are_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="256x256x3"):
        Vox256Engine(*files).prepare(grey(40, 128), CANONICAL, still())
