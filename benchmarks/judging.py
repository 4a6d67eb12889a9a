"""An independent judge of what was shown: a program of the user's, in an environment of its own.

It is called as `PYTHON JUDGE.py REFERENCE.mkv SHOWN.mkv` and prints a line of JSON, of which `KEYS` are taken.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from benchmarks.cache import Figures, digest
from benchmarks.measure import Measurer, Shown
from benchmarks.metrics import Picture
from shared.media import create_media

KEYS = ("sharp", "mouth_corr", "blink_corr", "akd_px", "pose_err_deg", "lost")
"""Gradient energy of the face over the true one's; correlation over time of mouth and eye opening; mean distance of
landmarks in px; mean error of the head pose in degrees; share of frames in which no face was found."""


class JudgeError(Exception):
    """The judge did not judge; the message holds what it said."""


class Judge:
    """Judges clips against their originals."""

    def __init__(self, python: Path, script: Path) -> None:
        """Raises JudgeError unless both files are there."""
        for path in (python, script):
            if not path.is_file():
                raise JudgeError(f"there is no '{path}': --judge takes a Python interpreter and a script")
        self._command = [str(python), str(script)]
        self._identity = digest(script.read_bytes())

    def __call__(self, measure: Measurer, shown: Shown) -> Figures:
        """Figures by the names in `KEYS`; None for those that cannot be told. Raises JudgeError."""
        clip = measure.clip
        key = digest("judge", self._identity, shown.key)
        return measure.cache.remember(key, lambda: self._judge(clip.pictures, shown.pictures(), clip.fps))

    def _judge(self, reference: Sequence[Picture], pictures: Sequence[Picture], fps: float) -> Figures:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / "reference.mkv", Path(folder) / "shown.mkv"]
            for path, clip in zip(paths, (reference, pictures), strict=True):
                write_lossless(path, clip, fps)
            done = subprocess.run([*self._command, *map(str, paths)], capture_output=True, text=True, check=False)
        try:
            figures = json.loads(done.stdout.strip().splitlines()[-1])
            return {key: _number(figures[key]) for key in KEYS}
        except (IndexError, KeyError, TypeError, ValueError) as error:
            said = (done.stderr or done.stdout).strip()[-600:]
            raise JudgeError(f"the judge gave no figures (exit code {done.returncode}): {said}") from error


def write_lossless(path: Path, pictures: Sequence[Picture], fps: float) -> None:
    """Writes (S, S, 3) RGB pictures as FFV1, so that nothing is judged but what was shown."""
    with create_media(path, "matroska") as container:
        stream = container.add_stream("ffv1", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
