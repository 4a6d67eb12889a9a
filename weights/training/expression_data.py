"""Trajectories of expressions: those that clips show, and those that the facial action coding system says."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.models.expression_network import BEND, POSE, SHIFT, STEPS, TURN
from shared.models.expressions import change_between
from shared.motion import FloatArray, Motion, to_the_front
from shared.reactions import LABELS
from weights.training.expression_motions import ClipMotions
from weights.training.facial_actions import MEASURES, Actions, measures

LABELLED = Path(__file__).with_name("expression_labels.csv")
SHOWN = ("onset", "held", "pair")
"""What clips show of an expression: how it comes; only that it is there; or a frame without and one with it."""
HELD_OUT = ("q039", "q043", "q044", "p072", "p169")
"""People that the embedded weights have not seen: all six labels, as measured in docs/expressions.md."""
_UPPER = (1, 2, 4, 5, 6, 7)
"""Action units of brows and eyes, which come a little before or after those of the mouth."""
_OPEN = ("happiness", "surprise", "fear")
"""Expressions that an open mouth belongs to."""
_HEAD: dict[str, tuple[float, float, float, float]] = {
    "happiness": (-1.0, 0.0, 3.0, 0.0), "sadness": (6.0, 2.0, 3.0, 0.0), "surprise": (-3.0, 0.0, 0.0, -0.02),
    "anger": (3.0, 0.0, 0.0, 0.02), "disgust": (-2.0, 4.0, 2.0, -0.01), "fear": (-3.0, 2.0, 0.0, -0.03),
}  # fmt: skip
"""How the head goes along, after everyday acting: degrees down, to a side, leaned, and nearer (log scale)."""


class Row(NamedTuple):
    """A line of expression_labels.csv."""

    file: str
    start: int
    apex: int
    """Frames of the clip; an apex before the start is read backwards."""
    label: str
    shows: str
    how: str


class Trajectories(NamedTuple):
    """Examples."""

    labels: NDArray[np.int64]
    """(N,)"""
    identities: FloatArray
    """(N, 6K)"""
    changes: FloatArray
    """(N, POSE + 3K, STEPS)"""

    @staticmethod
    def of(rows: Sequence[tuple[str, FloatArray, FloatArray]]) -> Trajectories:
        """Of (label, identity, change) each."""
        return Trajectories(
            np.array([LABELS.index(label) for label, _, _ in rows]),
            np.stack([identity for _, identity, _ in rows]).astype(np.float32),
            np.stack([change for _, _, change in rows]).astype(np.float32),
        )

    def joined(self, other: Trajectories) -> Trajectories:
        """These, then the others."""
        return Trajectories(
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.identities, other.identities]),
            np.concatenate([self.changes, other.changes]),
        )


def read_labels(path: Path = LABELLED) -> list[Row]:
    """The labelled parts of clips. Raises ValueError for a line that says something unknown."""
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, each in enumerate(csv.DictReader(file), 2):
            row = Row(each["file"], int(each["start"]), int(each["apex"]), each["label"], each["shows"], each["how"])
            if row.label not in LABELS or row.shows not in SHOWN or row.start == row.apex:
                raise ValueError(f"{path.name}, line {number}: {each} is no labelled part of a clip")
            rows.append(row)
    return rows


def own_deformations(vectors: FloatArray) -> FloatArray:
    """(T, 3K) deformations of motions, turned back to the front."""
    turned = [to_the_front(m) for m in map(Motion.from_vector, vectors)]
    return np.stack(turned).reshape(len(vectors), -1).astype(np.float32)


class Performances:
    """Draws examples from the motions of clips."""

    def __init__(self, clips: Mapping[str, ClipMotions], rows: Sequence[Row], without: Sequence[str] = ()) -> None:
        """`without`: people that nothing is taken from. Raises ValueError if no clip is left."""
        self._clips = {name: clip for name, clip in clips.items() if clip.person not in without and clip.seen.any()}
        if not self._clips:
            raise ValueError("there is no clip with a face and landmarks: give the folder of the clips")
        self._rows = [row for row in rows if row.file in self._clips]
        labelled = {row.file for row in self._rows}
        self._free = [name for name in self._clips if name not in labelled and len(self._clips[name].vectors) >= 8]
        if not self._free:
            raise ValueError("every clip is labelled: faces that show nothing in particular are needed, too")
        self._own = {name: own_deformations(clip.vectors) for name, clip in self._clips.items()}
        self._measured = measured = {name: measures(clip.faces) for name, clip in self._clips.items()}
        self.actions = Actions.fit(
            (measured[name][clip.seen], self._own[name][clip.seen]) for name, clip in self._clips.items()
        )
        self._neutral = {name: self._rest(name, measured[name]) for name in self._free}
        self._common = np.mean(list(self._neutral.values()), axis=0)

    @property
    def counts(self) -> dict[str, int]:
        """How many labelled parts there are of each label."""
        return {label: sum(row.label == label for row in self._rows) for label in LABELS}

    def labelled(self, times: int, chance: np.random.Generator) -> Trajectories:
        """`times` examples of each labelled part: its frames a little earlier or later, or made of what it shows."""
        found = [self._of_row(row, chance) for row in self._rows for _ in range(times)]
        return Trajectories.of(found)

    def by_actions(self, count: int, chance: np.random.Generator) -> Trajectories:
        """`count` examples that the facial action coding system says, all labels alike often."""
        return Trajectories.of([self._by_action(LABELS[n % len(LABELS)], chance) for n in range(count)])

    def _of_row(self, row: Row, chance: np.random.Generator) -> tuple[str, FloatArray, FloatArray]:
        clip, own = self._clips[row.file], self._own[row.file]
        last = len(own) - 1
        if row.shows == "onset":
            start, apex = (int(np.clip(n + chance.integers(-2, 3), 0, last)) for n in (row.start, row.apex))
            return row.label, self._identity(clip, own[start], chance), change_of(clip.vectors, start, apex)
        if row.shows == "pair":
            start, aim = own[row.start], own[row.apex]
        else:
            first, after = sorted((row.start, min(row.apex, last)))
            frames = first + np.flatnonzero(self._telling(row, first, after))
            middle = np.median(own[frames], axis=0)
            aim = middle + 0.5 * (own[chance.choice(frames)] - middle)
            start = self._common + 0.5 * self._oddity(chance)
        change = _profile(chance)[:, None] * (aim - start)
        return row.label, self._identity(clip, start, chance), self._with_head(row.label, change, chance)

    def _by_action(self, label: str, chance: np.random.Generator) -> tuple[str, FloatArray, FloatArray]:
        name = self._free[chance.integers(len(self._free))]
        own = self._own[name]
        start = self._neutral[name] + chance.uniform() * (own[chance.integers(len(own))] - self._neutral[name])
        units = self.actions.performed(label, chance)
        upper = {unit: strength for unit, strength in units.items() if unit in _UPPER}
        lower = {unit: strength for unit, strength in units.items() if unit not in _UPPER}
        first, second = _profile(chance), _profile(chance)
        second = 0.5 * (first + second)
        back = self._neutral[name] - start  # what it showed before goes
        change = first[:, None] * self.actions.deformation(upper) + second[:, None] * (
            self.actions.deformation(lower) + back
        )
        return label, self._identity(self._clips[name], start, chance), self._with_head(label, change, chance)

    def _with_head(self, label: str, change: NDArray[np.floating], chance: np.random.Generator) -> FloatArray:
        """(POSE + 3K, STEPS) with head movement as the label has it, on top of somebody's drift."""
        vectors = self._clips[self._free[chance.integers(len(self._free))]].vectors
        begin = int(chance.integers(0, len(vectors) - 7))
        drift = 0.3 * change_of(vectors, begin, begin + 7)[:POSE].clip(-1, 1)
        down, aside, lean, nearer = _HEAD[label]
        side = chance.choice([-1.0, 1.0], 2)
        head = np.array([side[0] * aside / TURN, down / TURN, side[1] * lean / TURN, nearer / SHIFT, 0.0, 0.0])
        moved = np.outer(head * chance.uniform(0.3, 1.3), _profile(chance)) + drift
        return np.concatenate([moved, change.T / BEND]).astype(np.float32)

    def _identity(self, clip: ClipMotions, own: FloatArray, chance: np.random.Generator) -> FloatArray:
        canonical = clip.canonical.reshape(-1)
        return np.concatenate([canonical + chance.normal(0, 0.01, canonical.shape), own]).astype(np.float32)

    def _oddity(self, chance: np.random.Generator) -> FloatArray:
        """How far somebody's resting face is from everybody's."""
        return np.asarray(self._neutral[self._free[chance.integers(len(self._free))]] - self._common, np.float32)

    def _telling(self, row: Row, first: int, after: int) -> NDArray[np.bool_]:
        """(frames,) where the mouth is not open only because somebody talks; of some expressions it is a part."""
        apart = self._measured[row.file][first : after + 1, MEASURES.index("lips apart")]
        return np.asarray((apart <= np.median(apart)) | (row.label in _OPEN))

    def _rest(self, name: str, measured: NDArray[np.float64]) -> FloatArray:
        """(3K,) of a face that shows nothing: the median while the lips are nearest to each other."""
        apart = np.where(self._clips[name].seen, measured[:, MEASURES.index("lips apart")], np.inf)
        return np.asarray(np.median(self._own[name][apart <= np.percentile(apart, 40)], axis=0), np.float32)


def change_of(vectors: FloatArray, start: int, apex: int) -> FloatArray:
    """(POSE + 3K, STEPS) of the frames of a clip from `start` to `apex`, forward or backward, at any number of them."""
    way = np.linspace(start, apex, STEPS)
    first = Motion.from_vector(vectors[start])
    low, high = sorted((start, apex))
    changes = np.stack([change_between(first, Motion.from_vector(each)) for each in vectors[low : high + 1]])
    return np.stack([np.interp(way, np.arange(low, high + 1), each) for each in changes.T]).astype(np.float32)


def _profile(chance: np.random.Generator) -> NDArray[np.float64]:
    """(STEPS,) 0 to 1, as muscles do it: slow, fast, slow, and then it stays."""
    begin, end = chance.uniform(0, 0.2), chance.uniform(0.45, 0.95)
    share = np.clip((np.linspace(0, 1, STEPS) - begin) / (end - begin), 0, 1)
    return np.asarray(share**3 * (10 - 15 * share + 6 * share**2))
