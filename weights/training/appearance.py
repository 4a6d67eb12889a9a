"""python -m weights.training.appearance: fits what tells one face from another. See --help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from sender.capture import SourceError, open_source
from shared.codec.picture import DEFAULT_QUALITY, decode_picture, encode_picture
from shared.models.appearance import DIMENSIONS, FaceReader, face_reader
from shared.models.engine import EngineError, Picture
from shared.progress import Bar
from shared.signals import ended_by_signals

ABOUT = """\
Reads the faces of clips, each also in another crop, in other light and coarser coded, and fits a linear discriminant:
what differs between people stays, what differs between pictures of one person goes. The person is a clip's name up to
the underscore. Then run `python -m weights.catalogue`, and `python -m benchmarks.face_change` for the threshold.
"""
OUT = Path(__file__).parents[1] / "compact_appearance.safetensors"
EVERY = 20
"""Frames of a clip from one that is taken to the next."""
_COMPONENTS = 200
"""Principal components that the discriminant is fitted in."""
_RIDGE = 0.3
"""Share of the mean variance within a person that is added to all of them: few pictures of each are known."""

Floats = NDArray[np.float64]


def shifted(rgb: Picture, chance: np.random.Generator) -> Picture:
    """The picture as another crop has it."""
    zoom, (x, y), half = np.exp(chance.uniform(np.log(0.88), np.log(1.2))), chance.uniform(-0.08, 0.08, 2), len(rgb) / 2
    matrix = np.array([[zoom, 0, half - half * zoom + x * 2 * half], [0, zoom, half - half * zoom + y * 2 * half]])
    return np.asarray(cv2.warpAffine(rgb, matrix, rgb.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def lit(rgb: Picture, chance: np.random.Generator) -> Picture:
    """The picture in other light: brighter or darker, tinted, from one side."""
    light = (rgb / 255.0) ** np.exp(chance.uniform(-0.35, 0.35)) * chance.uniform(0.75, 1.25)
    angle, strength = chance.uniform(0, 2 * np.pi), chance.uniform(0, 0.25)
    y, x = np.mgrid[-1 : 1 : len(rgb) * 1j, -1 : 1 : len(rgb) * 1j]
    light *= chance.uniform(0.9, 1.1, 3) * (1 + strength * (np.cos(angle) * x + np.sin(angle) * y))[..., None]
    return np.asarray(255 * light.clip(0, 1), np.uint8)


def coarse(rgb: Picture, side: int, quality: int) -> Picture:
    """The picture as a source of that size and quality, enlarged to its own size."""
    small = np.asarray(cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    codec, data = encode_picture(small, quality)
    decoded = decode_picture(codec, data, side, side)
    return np.asarray(cv2.resize(decoded, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def variants(rgb: Picture, chance: np.random.Generator) -> Iterator[Picture]:
    """The picture as a usual source; in another crop; in other light; and both, coarser."""
    plain = coarse(rgb, len(rgb), DEFAULT_QUALITY)
    yield plain
    yield shifted(plain, chance)
    yield lit(plain, chance)
    yield coarse(lit(shifted(plain, chance), chance), int(chance.choice([64, 128, 256])), int(chance.choice([35, 50])))


def frames(path: Path, every: int) -> Iterator[Picture]:
    """Every so many of a clip's frames. Raises SourceError."""
    with open_source(str(path)) as capture:
        for number, (_, rgb) in enumerate(capture):
            if number % every == 0:
                yield rgb


def describe(clips: Sequence[Path], reader: FaceReader, every: int) -> tuple[Floats, list[str]]:
    """(N, FEATURES) of all variants of the clips' frames, and whose each is. Raises SourceError."""
    if not clips:
        raise ValueError("there is no clip: give a folder with NAME_*.mp4")
    rows, people, chance = [], [], np.random.default_rng(0)
    for path in Bar(iterable=clips, desc="describing faces", unit="clip"):
        for rgb in frames(path, every):
            for variant in variants(rgb, chance):
                rows.append(reader.describe(variant))
                people.append(path.stem.split("_")[0])
    return np.stack(rows).astype(np.float64), people


def discriminant(rows: Floats, people: Sequence[str]) -> tuple[Floats, Floats]:
    """(FEATURES,) mean and (FEATURES, DIMENSIONS) axes along which people differ most, for how much each varies.

    Fisher 1936 with a ridge, in the span of the principal components. Raises ValueError for too few people.
    """
    names = sorted(set(people))
    if len(names) <= DIMENSIONS:
        raise ValueError(f"{DIMENSIONS} axes need more than {DIMENSIONS} people, these clips show {len(names)}")
    mean, index = rows.mean(0), np.searchsorted(names, people)
    components = np.linalg.svd(rows - mean, full_matrices=False)[2][:_COMPONENTS].T
    placed = (rows - mean) @ components
    middles = np.stack([placed[index == each].mean(0) for each in range(len(names))])
    rest = placed - middles[index]
    within = rest.T @ rest / len(rest)
    within += _RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    white = np.linalg.inv(np.linalg.cholesky(within))
    _, vectors = np.linalg.eigh(white @ np.cov(middles.T) @ white.T)
    return mean, components @ (white.T @ vectors[:, ::-1][:, :DIMENSIONS])


@ended_by_signals("weights.training.appearance", "interrupted, nothing written")
def main() -> int:
    """0, 1 with a sentence on stderr, or 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.training.appearance", description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--clips", type=Path, required=True, metavar="FOLDER", help="of square clips, NAME_*.mp4")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help=f"(default: weights/{OUT.name})")
    parser.add_argument(
        "--every", type=int, default=EVERY, metavar="N", help=f"take every Nth frame (default: {EVERY})"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = sorted(path for path in args.clips.glob("*_*.mp4") if not path.stem.endswith("_512"))
    try:
        mean, axes = discriminant(*describe(clips, face_reader(), args.every))
        save_file({"mean": torch.from_numpy(mean).half(), "axes": torch.from_numpy(axes).half().contiguous()}, args.out)
    except (EngineError, SourceError, ValueError, OSError) as error:
        print(f"python -m weights.training.appearance: {error}", file=sys.stderr)
        return 1
    print(f"wrote {args.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
