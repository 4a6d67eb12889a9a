from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from call_examples import write_clip

from shared.models.engine import Picture
from weights.training.bases import KINDS
from weights.training.bases import make_bases as prepare_bases
from weights.training.data import Clips
from weights.training.source_cache import make_cache


@pytest.fixture(scope="session")
def folder(person: list[Picture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of the sample person, one with landmarks, and two recordings that are not for training."""
    folder = tmp_path_factory.mktemp("clips")
    small = [np.ascontiguousarray(p[::2, ::2]) for p in person]
    write_clip(folder / "a.mp4", small[:12])
    write_clip(folder / "b.mp4", small[20:30])
    write_clip(folder / "raw_c.mp4", small[:3])
    write_clip(folder / "d_512.mp4", small[:3])
    points = np.random.default_rng(0).integers(300, 700, (3, 478)).astype(np.int16)
    steps = np.zeros((3, 478, 12), np.int8)
    steps[0, :, 1:] = 1
    ok = np.ones(12, bool)
    ok[3] = False
    np.savez(folder / "a.npz", base=points, d=steps, scale=np.array([1000, 1000, 500], np.float32), ok=ok)
    return folder


@pytest.fixture(scope="session")
def wire_cache(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coded sources of the same clips."""
    path = tmp_path_factory.mktemp("wire") / "wire.npz"
    make_cache(folder, path, step=6)
    return path


@pytest.fixture(scope="session")
def clips(folder: Path, wire_cache: Path) -> Clips:
    return Clips.load(folder, 128, 1, wire=wire_cache)


@pytest.fixture(scope="session")
def base_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coded base layers of the same clips."""
    out = tmp_path_factory.mktemp("bases")
    for kind in KINDS:
        prepare_bases([folder], [], out, kind, None, 0)
    return out


@pytest.fixture(scope="session")
def based_clips(folder: Path, wire_cache: Path, base_folder: Path) -> Clips:
    """The same clips with their base layers."""
    return Clips.load(folder, 128, 1, wire=wire_cache, bases=base_folder)
