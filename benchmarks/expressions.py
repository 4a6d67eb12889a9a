"""python -m benchmarks.expressions: what performed expressions are like, on people that the network has not seen.

Their labelled parts drawn from the first frame alone, against the true frames; and whether a classifier that learned
from true trajectories reads the labels of performed ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import command
from benchmarks.metrics import Picture, luma, ms_ssim, psnr
from benchmarks.tables import markdown
from shared.models.engine import Engine, EngineError
from shared.models.expression_network import LABEL_COUNT, POSE, STEPS
from shared.models.expressions import ExpressionPerformer, change_between
from shared.models.registry import load_engine
from shared.motion import FloatArray, Motion
from shared.progress import Bar
from shared.reactions import LABELS
from weights.training.data import read_frames
from weights.training.expression_data import HELD_OUT, Performances, Row, Trajectories, read_labels
from weights.training.expression_motions import load_motions

SIDE = 256
SIDES = (64, 256)
"""Pixels at which drawn frames are compared: the first is the paper's."""
SEEDS = 5
"""Performances of each face and label that are classified."""
_MOMENTS = (STEPS // 2, STEPS - 1)
_AXES = 16
_DECAY = 3e-3


@dataclass(frozen=True, eq=False)
class Classifier:
    """Logistic regression on what a face does in the middle and at the end of a trajectory."""

    mean: FloatArray
    axes: FloatArray
    """(POSE + 3K moments, _AXES)"""
    weight: FloatArray
    bias: FloatArray

    @staticmethod
    def fit(known: Trajectories) -> Classifier:
        """Labels count alike, however many examples there are of each."""
        rows = _rows(known.changes)
        mean = rows.mean(0)
        _, size, axes = np.linalg.svd(rows - mean, full_matrices=False)
        basis = axes[:_AXES].T / size[:_AXES] * len(rows) ** 0.5
        x, y = torch.from_numpy((rows - mean) @ basis).float(), torch.from_numpy(known.labels)
        counts = torch.bincount(y, minlength=LABEL_COUNT).clamp(min=1)
        layer = torch.nn.Linear(_AXES, LABEL_COUNT)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            error = torch.nn.functional.cross_entropy(layer(x), y, 1 / counts)
            total: torch.Tensor = error + _DECAY * layer.weight.square().sum()
            total.backward()  # type: ignore[no-untyped-call]
            return total

        optimiser.step(loss)  # type: ignore[arg-type, no-untyped-call]
        weight, bias = (each.detach().numpy() for each in (layer.weight, layer.bias))
        return Classifier(mean, basis.astype(np.float32), weight, bias)

    def read(self, changes: FloatArray) -> NDArray[np.int64]:
        """(N,) labels of (N, POSE + 3K, STEPS) trajectories."""
        return np.asarray(((_rows(changes) - self.mean) @ self.axes @ self.weight.T + self.bias).argmax(1), np.int64)


def _rows(changes: FloatArray) -> FloatArray:
    return changes[:, POSE:, _MOMENTS].reshape(len(changes), -1)


def performed(
    performer: ExpressionPerformer, faces: Sequence[tuple[FloatArray, Motion]], seeds: int = SEEDS
) -> Trajectories:
    """All labels of each (canonical, motion), so many times."""
    rows = []
    for canonical, motion in faces:
        for label in LABELS:
            for seed in range(seeds):
                motions = performer.perform(label, motion, canonical, seed=seed)
                change = np.stack([change_between(motion, each) for each in motions], 1)
                rows.append((label, np.zeros(1, np.float32), change))
    return Trajectories.of(rows)


def confusion(true: NDArray[np.int64], read: NDArray[np.int64]) -> NDArray[np.int64]:
    """(6, 6) how often each label was read as each."""
    table = np.zeros((LABEL_COUNT, LABEL_COUNT), np.int64)
    np.add.at(table, (true, read), 1)
    return table


def drawn_figures(path: Path, row: Row, performer: ExpressionPerformer, engine: Engine) -> dict[str, float]:
    """PSNR and MS-SSIM of a labelled part: performed, by its true motions, and its first frame held still."""
    frames = read_frames(path, SIDE)
    last = len(frames) - 1
    stop = row.apex if row.shows != "held" else row.start + STEPS - 1
    moments = np.linspace(row.start, min(stop, last), STEPS).round().astype(int)
    true = [frames[n] for n in moments]
    canonical, motion = engine.extract(true[0])
    source = [(engine.prepare(true[0], canonical, motion), 1.0)]
    ways: dict[str, list[Picture]] = {
        "performed": [engine.draw(source, each) for each in performer.perform(row.label, motion, canonical)],
        "true motion": [engine.draw(source, engine.extract(each)[1]) for each in true],
        "still": [true[0]] * STEPS,
    }
    figures = {}
    for way, drawn in ways.items():
        for side in SIDES:
            pairs = [(_small(a, side), _small(b, side)) for a, b in zip(drawn, true, strict=True)][1:]
            figures[f"{way} PSNR {side}"] = float(np.mean([psnr(a, b) for a, b in pairs]))
            figures[f"{way} SSIM {side}"] = float(np.mean([ms_ssim(a, b) for a, b in pairs]))
    return figures


def _small(picture: Picture, side: int) -> Picture:
    if len(picture) != side:
        picture = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    return luma(picture)


def first_faces(folder: Path, engine: Engine) -> list[tuple[FloatArray, Motion]]:
    """Canonical keypoints and motion of a frame of each clip of a folder: people of whom nothing was learned."""
    paths = sorted(each for each in folder.glob("*_a.mp4") if not each.stem.startswith("raw"))
    if not paths:
        raise ValueError(f"there is no clip NAME_a.mp4 in {folder}")
    return [engine.extract(read_frames(path, SIDE)[0]) for path in paths]


def measure(clips: Sequence[Path], dev: Path, motions: Path, weights: Path | None) -> dict[str, Any]:
    """All figures. Raises EngineError, ValueError or OSError."""
    torch.manual_seed(0)
    performer, engine = ExpressionPerformer.load(weights), load_engine("compact", "cpu")
    known, rows, chance = load_motions(motions), read_labels(), np.random.default_rng(0)
    out = [row for row in rows if known[row.file].person in HELD_OUT]
    seen = {known[row.file].person for row in rows}.difference(HELD_OUT)
    others = Performances(known, rows, HELD_OUT)
    shown, said = others.labelled(20, chance), others.by_actions(600, chance)
    unseen = Performances(known, out, sorted(seen)).labelled(20, chance)
    by_clips = Classifier.fit(shown)
    by_both = Classifier.fit(shown.joined(said))
    made = performed(performer, first_faces(dev, engine))
    report: dict[str, Any] = {}
    for name, classifier in (("clips", by_clips), ("clips and action units", by_both)):
        for kind, some in (("true, held out", unseen), ("performed", made)):
            report[f"{kind}, read by {name}"] = confusion(some.labels, classifier.read(some.changes)).tolist()
    figures = {}
    for row in Bar(iterable=out, desc="drawing", unit="clip"):
        path = next((each for folder in clips if (each := folder / f"{row.file}.mp4").exists()), None)
        if path is None:
            raise ValueError(f"{row.file}.mp4 is in none of the folders of --clips")
        figures[f"{row.file} {row.label} {row.shows}"] = drawn_figures(path, row, performer, engine)
    return report | {"drawn": figures}


def summary(report: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    parts = []
    for name, figures in report.items():
        if name == "drawn":
            continue
        table = np.array(figures)
        share = np.trace(table) / table.sum()
        recall = np.mean([table[n, n] / table[n].sum() for n in range(LABEL_COUNT) if table[n].sum()])
        head = [f"{name}: {share:.0%}, mean of labels {recall:.0%}", *LABELS]
        parts.append(markdown(head, [[label, *map(str, row)] for label, row in zip(LABELS, figures, strict=True)]))
    ways = ("performed", "still", "true motion")
    head = ["PSNR / MS-SSIM", *(f"{way}, {side} px" for side in SIDES for way in ways)]
    drawn = dict(report["drawn"])
    drawn["mean"] = {key: float(np.mean([each[key] for each in drawn.values()])) for key in next(iter(drawn.values()))}
    rows = [
        [name, *(f"{each[f'{w} PSNR {s}']:.1f} / {each[f'{w} SSIM {s}']:.3f}" for s in SIDES for w in ways)]
        for name, each in drawn.items()
    ]
    return "\n\n".join([*parts, markdown(head, rows)])


@command("expressions", EngineError, ValueError, OSError)
def main(arguments: list[str] | None = None) -> None:
    """Prints tables, and writes the figures where they are wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.expressions", description=__doc__)
    parser.add_argument(
        "--clips", type=Path, nargs="+", required=True, metavar="FOLDER", help="with the labelled clips"
    )
    parser.add_argument("--dev", type=Path, required=True, metavar="FOLDER", help="of clips of other people")
    parser.add_argument("--motions", type=Path, required=True, metavar="FILE.npz",
                        help="as weights.training.expression keeps them in its folder")  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="FILE.safetensors", help="(default: the embedded ones)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="all figures")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    report = measure(args.clips, args.dev, args.motions, args.weights)
    print(summary(report))
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
