"""What tests of a call share: an engine whose motion is the mean colour, a basis for it, clips and processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np

from receiver.decoder import CallDecoder
from receiver.upscale import Bicubic
from sender.encoder import CallEncoder, EncoderSettings
from sender.refresh import First, FirstSource, RefreshPolicy
from shared.codec.motion_basis import MotionBasis
from shared.codec.picture import PictureMessage
from shared.codec.range_coder import TOTAL
from shared.models.base_fusion import BasePicture
from shared.models.engine import Picture, Weighted
from shared.motion import FloatArray, Motion

ROOT = Path(__file__).parents[1]
KEYPOINTS = 4
SIDE = 64
FPS = 25.0
CLIP_FRAMES = 50
"""Of the sample person, in the fixtures `person` and `clip`."""
SYMBOLS = 16


def make_motion(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Motion:
    """A head turned by these degrees, without expression."""
    rotation = np.array([yaw, pitch, roll], np.float32)
    return Motion(rotation, 1.0, np.zeros(3, np.float32), np.zeros((KEYPOINTS, 3), np.float32))


def make_basis() -> MotionBasis:
    """Codes the pose in steps that are powers of two, and no expression worth the name."""
    flat = np.full((7, SYMBOLS), TOTAL // SYMBOLS, np.uint16)
    return MotionBasis(
        pose_mean=np.zeros(7, np.float32),
        pose_steps=np.array([0.5, 0.5, 0.5, 2**-6, 2**-8, 2**-8, 0], np.float32),
        expression_mean=np.zeros(3 * KEYPOINTS, np.float32),
        components=np.zeros((1, 3 * KEYPOINTS), np.float32),
        analysis=np.zeros((1, 3 * KEYPOINTS), np.float32),
        component_steps=np.ones(1, np.float32),
        intra_frequencies=flat,
        inter_frequencies=flat[None],
        activity=np.full(7, 16, np.uint16),
        context_edges=np.zeros(0, np.uint16),
    )


def picture(yaw: float, source: int = 0, side: int = SIDE) -> Picture:
    """A picture that `ColourEngine` takes for a head turned by `yaw` (-60..60, in steps of 0.5)."""
    plain = np.empty((side, side, 3), np.uint8)
    plain[:] = (min(max(round(2 * yaw) + 128, 0), 255), source, 0)
    return plain


@dataclass
class ColourEngine:
    """Red is the yaw, green names the source; drawing paints the heaviest source's green and the driving yaw's red."""

    name: str = "compact"
    size: int = SIDE
    keypoint_count: int = KEYPOINTS
    precision: str = "fp32"
    drawn: list[tuple[int, float]] = field(default_factory=list)

    def extract(self, picture: Picture) -> tuple[FloatArray, Motion]:
        canonical = np.linspace(-0.5, 0.5, 3 * KEYPOINTS, dtype=np.float32).reshape(KEYPOINTS, 3)
        return canonical, make_motion((float(picture[..., 0].mean()) - 128) / 2)

    def prepare(self, picture: Picture, canonical: FloatArray, motion: Motion) -> int:
        if picture.shape != (self.size, self.size, 3):
            raise ValueError(f"a source has shape {picture.shape}")
        return round(float(picture[..., 1].mean()))

    def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
        source, yaw = max(sources, key=lambda each: each[1])[0], float(driving.rotation[0])
        self.drawn.append((source, yaw))
        return picture(yaw, source)


def outgoing_half(
    policy: RefreshPolicy | None = None, bundle: int = 5, framing: str = "none", first: FirstSource | None = None
) -> CallEncoder:
    """A sender's half with the colour engine; its pictures are lossless."""
    settings = EncoderSettings(FPS, bundle, SIDE, "max", framing)
    return CallEncoder(settings, ColourEngine(), make_basis(), policy or First(), first=first)


def incoming_half() -> CallDecoder:
    """A receiver's half with the colour engine."""
    return CallDecoder(ColourEngine(), make_basis(), Bicubic())


def source_that_came() -> tuple[CallDecoder, PictureMessage]:
    """A receiving half with a source that came over and is still to be prepared, and this source."""
    outgoing, incoming = outgoing_half(), incoming_half()
    job = outgoing.push(outgoing.analyse(picture(0, 1)), 0.0, 0.0)
    assert job is not None
    outgoing.done(job.perform(), 0.0)
    for n in range(100):
        for message in outgoing.tick(n / 10, 0):
            incoming.receive(*message, n / 10)
    came = incoming.next_job()
    assert came is not None
    return incoming, came


def write_clip(path: Path, pictures: Sequence[Picture], fps: float = FPS) -> Path:
    """A video file of square pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "12", "preset": "veryfast"}
        for rgb in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    return path


def read_clip(path: Path) -> tuple[list[Picture], float]:
    """Pictures and frame rate of a video file."""
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate or 0)
        return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(video=0)], rate


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal to noise ratio in dB."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


class Program:
    """`python -m receiver` or `python -m sender` in a process of its own; ends with the block at the latest."""

    def __init__(self, name: str | Path, *arguments: str | Path, before: str = "", folder: Path = ROOT) -> None:
        """name: a module, or the path of an installed program. before: Python that runs first, to make a wait short.
        folder: where it runs.
        """
        script = f"{before}\nimport runpy, sys\ndel sys.argv[0]\nrunpy.run_module(sys.argv[0], run_name='__main__')"
        module: list[str | Path] = ["-m", name] if not before else ["-c", script, name]
        command = [name] if isinstance(name, Path) else [sys.executable, *module]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        if isinstance(name, Path):
            environment.pop("PYTHONPATH", None)  # it runs what is installed beside it
        self._process = subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def page_url(self) -> str:
        """The URL that a receiver with --page prints, before the one to join with."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("watch at:"):
                return line.split()[-1]
        raise AssertionError(f"no URL of a page; {self._process.communicate()[1]}")

    def join_url(self) -> str:
        """The URL that a receiver prints once it listens."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("join with:"):
                return line.split()[-1]
        raise AssertionError(f"no join URL; {self._process.communicate()[1]}")

    def signal(self, number: int) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def end(self, within: float = 150.0) -> tuple[int, str]:
        """Exit code and standard error, once it has ended by itself."""
        _, error = self._process.communicate(timeout=within)
        return self._process.returncode, error
