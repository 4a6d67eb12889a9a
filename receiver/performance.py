"""Performances drawn: one photograph's person showing expressions, as marked pictures, a film or a sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from receiver.output.recorder import Recorder
from receiver.output.window import MARK, draw_mark
from shared.desktop import fitting, write
from shared.files import write_whole
from shared.models.engine import Engine, Picture
from shared.models.expressions import ExpressionPerformer
from shared.motion import FloatArray, Motion
from shared.progress import Bar

FPS = 25.0
QUIET_SECONDS = 2.0
"""Drawing that is over by then shows no progress."""
_SHEET_COLUMNS = 8
_STRIP, _SCALE = 20, 0.45


@dataclass(frozen=True)
class Wish:
    """How it is to be performed; see `ExpressionPerformer.perform`."""

    labels: Sequence[str]
    frames: int
    intensity: float
    seed: int
    returns: bool


@dataclass(frozen=True, eq=False)
class Person:
    """A photograph, as the engine has it."""

    prepared: Any
    canonical: FloatArray
    motion: Motion

    @staticmethod
    def read(engine: Engine, picture: Picture) -> Person:
        """Of a picture (size, size, 3) of the engine's size, framed as a sender frames it."""
        canonical, motion = engine.extract(picture)
        return Person(engine.prepare(picture, canonical, motion), canonical, motion)


def motions(performer: ExpressionPerformer, person: Person, wish: Wish) -> Iterator[tuple[str, Motion]]:
    """Label and motion of each frame, one performance after the other. Raises ValueError."""
    for label in wish.labels:
        performed = performer.perform(
            label, person.motion, person.canonical, frames=wish.frames, intensity=wish.intensity, seed=wish.seed,
            returns=wish.returns,
        )  # fmt: skip
        yield from ((label, motion) for motion in performed)


def film(path: Path, engine: Engine, person: Person, wish: Wish, performer: ExpressionPerformer) -> int:
    """Draws all performances into an MP4, marked; the number of frames. Raises RecordError, EngineError, ValueError."""
    origin = f" from one photograph; performed, not filmed: {', '.join(wish.labels)}"
    planned = list(motions(performer, person, wish))
    with Recorder(path, FPS, engine.size, origin=origin, title="Pinhole expression") as recorder:
        for label, motion in _shown(planned, "drawing"):
            canvas = engine.draw([(person.prepared, 1.0)], motion).copy()
            draw_mark(canvas, mark(label))
            recorder.write(canvas)
    return len(planned)


def sheet(path: Path, engine: Engine, person: Person, wish: Wish, performer: ExpressionPerformer) -> None:
    """Draws moments of all performances into a PNG, a row each. Raises PlaceError, EngineError, ValueError."""
    planned = list(motions(performer, person, wish))
    chosen = np.linspace(0, wish.frames - 1, min(wish.frames, _SHEET_COLUMNS)).round().astype(int)
    cells = [planned[row * wish.frames + moment] for row in range(len(wish.labels)) for moment in chosen]
    drawn = [engine.draw([(person.prepared, 1.0)], motion) for _, motion in _shown(cells, "drawing the sheet")]
    rows = []
    for number, label in enumerate(wish.labels):
        pictures = np.concatenate(drawn[number * len(chosen) : (number + 1) * len(chosen)], axis=1)
        strip = np.zeros((_STRIP, pictures.shape[1], 3), np.uint8)
        write(strip, mark(label), (4, 14), fitting(mark(label), _SCALE, strip.shape[1] - 8))
        rows += [strip, pictures]
    picture = cv2.cvtColor(np.concatenate(rows, axis=0), cv2.COLOR_RGB2BGR)
    write_whole(path, cv2.imencode(".png", picture)[1].tobytes())


def mark(label: str) -> str:
    """What is always written on the picture."""
    return f"{MARK} from a photograph, performing {label}"


def _shown(planned: Sequence[tuple[str, Motion]], what: str) -> Iterator[tuple[str, Motion]]:
    """Each of them, with a bar where it takes its time."""
    with Bar(total=len(planned), desc=what, unit="frame", delay=QUIET_SECONDS) as bar:
        for each in planned:
            yield each
            bar.update()
