"""A clip in memory, and how near to it pictures come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.cache import Figures, digest
from benchmarks.face_figures import Box, boxes, sharpness
from benchmarks.metrics import Picture, luma, ms_ssim, psnr
from benchmarks.vmaf import EVERY, Vmaf
from sender.call_recording import limited
from sender.capture import open_source
from sender.crop import cut, whole_square
from shared.models.layers import LANDMARKS
from weights.training.data import read_mesh

SAMPLE_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class Clip:
    """The centre square of a video."""

    name: str
    fps: float
    stamps: list[float]
    pictures: list[Picture]
    faces: list[Box] | None = None
    """Where the face of each frame is; None: in the middle half."""
    digest: str = field(init=False)
    """Of all that is measured on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest(self.fps, self.stamps, str(self.faces), *self.pictures))

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self.pictures) / self.fps


def read_clip(video: str, seconds: float | None, side: int) -> Clip:
    """A video, or the built-in `sample`, at `side` px; where its face is, by the landmarks beside it (NAME.npz).

    Raises SourceError, and ValueError for a single frame.
    """
    seconds = SAMPLE_SECONDS if seconds is None and video == "sample" else seconds
    stamps, pictures = [], []
    with open_source(video) as capture:
        for stamp, picture in limited(capture, seconds):
            stamps.append(stamp)
            pictures.append(cut(picture, whole_square(picture), side))
    if len(pictures) < 2:
        raise ValueError(f"'{video}' gave {len(pictures)} frame: at least two are needed")
    name = video if video == "sample" else Path(video).stem
    return Clip(name, capture.fps, stamps, pictures, _faces(Path(video), len(pictures), side))


def _faces(video: Path, frames: int, side: int) -> list[Box] | None:
    """Where the face is in each frame of a square clip, None without landmarks; where none was found, as before."""
    mesh, found = read_mesh(video.with_suffix(".npz"), frames, 1)
    if not found.any():
        return None
    at = int(found.argmax())
    faces = []
    for frame in range(frames):
        at = frame if found[frame] else at
        faces.append(boxes(mesh[at][list(LANDMARKS)], side).face)
    return faces


class Scorer:
    """PSNR, MS-SSIM and sharpness of the face over the true one, mean over all frames but the first, and VMAF; all on
    luma."""

    def __init__(self, clip: Clip, vmaf: bool) -> None:
        self._targets = [luma(picture) for picture in clip.pictures]
        side = len(self._targets[0])
        middle = slice(side // 4, side - side // 4)
        self._faces = clip.faces or [(middle, middle)] * len(self._targets)
        self._sharp = [sharpness(*each) for each in zip(self._targets, self._faces, strict=True)]
        self._vmaf = Vmaf(self._targets) if vmaf else None
        self.name = f"vmaf every {EVERY}" if vmaf else ""
        """What is measured, where it can differ."""

    def __call__(self, shown: Sequence[Picture]) -> Figures:
        """Raises ValueError unless there is one picture of the clip's size for every frame."""
        pictures = [luma(picture) for picture in shown]
        pairs = list(zip(self._targets, pictures, strict=True))[1:]
        sharp = [
            sharpness(picture, face) / max(true, 1e-3)
            for picture, face, true in zip(pictures, self._faces, self._sharp, strict=True)
        ]
        figures: Figures = {
            "psnr": round(float(np.mean([psnr(a, b) for a, b in pairs])), 4),
            "ms_ssim": round(float(np.mean([ms_ssim(a, b) for a, b in pairs])), 4),
            "sharp": round(float(np.mean(sharp[1:])), 4),
        }
        if self._vmaf is not None:
            figures["vmaf"] = round(self._vmaf(pictures), 2)
        return figures
