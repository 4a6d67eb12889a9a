"""What a lease keeps: how far each leg is and the weights, on its machine and in the files that are sent back."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from weights.training.checkpoint import write_weights
from weights.training.lease_plan import Leg
from weights.training.pieces import read_pieces, write_pieces
from weights.training.trainer import Trainer

_PROGRESS = "lease.json"
_LOG = "log.jsonl"
_SHEET = "sheet.jpg"
_OTHERS = ("motion.", "mesh.")
"""Parts that a larger generator shares with the compact one."""


def score(figures: Mapping[str, float], drawing: bool) -> float:
    """What makes weights better than earlier ones of a leg: nearer, livelier, as sharp as the truth."""

    def known(name: str) -> float:
        value = figures.get(name, 0.0)
        return value if math.isfinite(value) else 0.0

    if not drawing:
        return 3 * (known("mouth") + known("eyes")) - known("points_px")
    gain, sharp = known("psnr") - known("freeze"), max(known("sharp"), 1e-3)
    lively = known("drawn_mouth") + known("drawn_eyes")
    return gain + 3 * lively - known("drawn_points_px") - 2 * abs(math.log(sharp))


@dataclass
class Progress:
    """Of all legs."""

    state: Path
    """Folder on this machine"""
    seconds: dict[str, float] = field(default_factory=dict)
    """Trained so far, by leg"""
    weights: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """The newest ones by generator; those of a larger one may lack the motion network"""
    best: dict[str, float] = field(default_factory=dict)
    """Highest score, by leg"""

    @staticmethod
    def load(state: Path, resume: Path | None) -> Progress:
        """Where this machine is, or else where the files of `resume` are; the start without either.

        Raises ValueError if `resume` is given and there is nothing to go on from.
        """
        out = Progress(state)
        if resume is None:
            for old in (*state.glob("*.pt"), *state.glob("*.safetensors"), state / _PROGRESS):
                old.unlink(missing_ok=True)
            return out
        here = _read(state / _PROGRESS)
        away = _read(resume / _PROGRESS)
        about = here or away
        if about is None:
            raise ValueError(f"there is neither a {state / _PROGRESS} nor a {resume / _PROGRESS}: leave --resume out")
        out.seconds, out.best = about["seconds"], about["best"]
        for name in ("compact", "standard"):
            weights = _weights(state / f"{name}.safetensors") if here else read_pieces(resume, name)
            if weights:
                out.weights[name] = weights
        if not out.weights:
            raise ValueError(f"there are no weights in {resume}: leave --resume out, or give the folder that has them")
        return out

    def begin(self, leg: Leg, trainer: Trainer) -> int:
        """Gives a trainer its checkpoint, or the weights so far; how many tensors are left at random."""
        checkpoint = self.state / f"{_file(leg)}.pt"
        if checkpoint.exists() and leg.name in self.seconds:
            trainer.load(checkpoint)
            return 0
        own = {k: v for k, v in self.weights.get(leg.generator, {}).items() if not k.startswith(_OTHERS)}
        shared = {k: v for k, v in self.weights.get("compact", {}).items() if k.startswith(_OTHERS)}
        fresh = trainer.initialise(own | shared)
        trainer.seconds = self.seconds.get(leg.name, 0.0)
        return len(fresh)

    def save(self, leg: Leg, trainer: Trainer) -> None:
        """Writes checkpoint, weights and how far it is, in this order: what is said to be there is there."""
        trainer.save(self.state / f"{_file(leg)}.pt")
        self.weights[leg.generator] = {k: v.cpu() for k, v in trainer.average.items()}
        part = self.state / "weights.part"
        write_weights(part, trainer.average)
        part.replace(self.state / f"{leg.generator}.safetensors")
        self.seconds[leg.name] = trainer.seconds
        write_text(self.state / _PROGRESS, self.text())

    def improved(self, leg: Leg, average: Mapping[str, Tensor], quality: float | None) -> bool:
        """Whether these are the best weights of their leg; without figures the newest are."""
        if quality is not None and quality <= self.best.get(leg.name, -math.inf):
            return False
        if quality is not None:
            self.best[leg.name] = quality
        return True

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"seconds": self.seconds, "best": self.best})


class Published:
    """The folder that is sent back: never more than eight files, all of them whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, progress: Progress, resume: Path | None) -> None:
        """Copies what the calls before left, so that nothing is lost if this one is cut off."""
        for half in self._folder.glob(".*.part"):
            half.unlink()
        if resume is None:
            (self._folder / _LOG).unlink(missing_ok=True)
            for old in self._folder.glob("*-*.safetensors"):
                old.unlink()
            return
        if resume.resolve() != self._folder.resolve():
            for path in (resume / _LOG, resume / _SHEET):
                if path.exists():
                    shutil.copyfile(path, self._folder / path.name)
        if not any(self._folder.glob("*-*.safetensors")):
            for name, weights in progress.weights.items():
                self.weights(name, weights, "as resumed")
        self.progress(progress)

    def end(self, progress: Progress) -> None:
        """All there is, also where a call had no time to train."""
        for name, weights in progress.weights.items():
            if weights and not any(self._folder.glob(f"{name}-*.safetensors")):
                self.weights(name, weights, "as begun")
        self.progress(progress)

    def weights(self, name: str, weights: Mapping[str, Tensor], when: str) -> None:
        """Weights of a generator in pieces; those of a larger one without what it shares with the compact one."""
        own = {k: v for k, v in weights.items() if name == "compact" or not k.startswith(_OTHERS)}
        write_pieces(self._folder, name, own, when)

    def progress(self, progress: Progress) -> None:
        """How far each leg is."""
        write_text(self._folder / _PROGRESS, progress.text())

    def text(self, name: str, text: str) -> None:
        """A file more."""
        write_text(self._folder / name, text)

    def sheet(self, picture: NDArray[np.uint8] | Any) -> None:
        """The newest sheet of dev frames."""
        part = self._folder / ".sheet.part"
        part.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
        part.replace(self._folder / _SHEET)

    def log(self, line: Mapping[str, Any]) -> None:
        """One line more."""
        with (self._folder / _LOG).open("a", encoding="utf-8") as file:
            print(json.dumps(line), file=file)


def write_text(path: Path, text: str) -> None:
    """Writes a file; nobody sees half of it."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _file(leg: Leg) -> str:
    return leg.name.replace(":", "_")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return {}
