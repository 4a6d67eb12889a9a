"""Fit the motion basis of an engine: python -m weights.training.fit_codec --engine NAME --clips FOLDER --out FILE

Run it whenever the motion network changes; for `vox256` and `adasr` once their weights are in the store, where it takes
the place of the plain basis (`python -m weights where`). Both ends of a call need the same file.

Everything is chosen by effect: what a change of a number moves the keypoints by, in pixels of a 256-pixel picture. Each
coded number gets the step that moves the keypoints by the same distance, and the number of expression components is the
one that codes the clips in the fewest bits at the target error. Eyelids and lips move few keypoints by little and are
looked at most, so their movement counts for more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.codec.bundle import HOLD, Bundle, BundleEncoder, quantise
from shared.codec.motion_basis import MotionBasis
from shared.models.engine import Engine, EngineError
from shared.models.registry import ENGINES, load_engine
from shared.motion import POSE_SIZE, FloatArray, Motion, keypoints
from shared.progress import Bar
from shared.signals import ended_by_signals
from weights.record import renew
from weights.training.codec_tables import EDGES, with_tables

Floats = NDArray[np.float64]

TARGET_ERROR = 0.56
"""RMS keypoint error in px on the clips fitted, strong grimaces among them; 0.52 on other people."""
PIXELS = 128.0
"""Pixels per unit of picture coordinates in a 256-pixel picture."""
DEPTH_WEIGHT = 0.25
"""Depth of an expression moves no keypoint in the picture; the generator only sees it through its conditioning."""
COMPONENTS, PUBLISHED_COMPONENTS = range(10, 31, 2), range(6, 37)
"""Numbers of components that are tried: for our engine, and for those whose expressions nobody here has seen."""
EYELID_WEIGHT, LIP_WEIGHT = 2.5, 1.5
"""What a movement of an eyelid or a lip counts for: their openings after the codec against before then correlate 0.98
and 0.96 on people not fitted. Without it a blink drowns in the rounding."""
EYELIDS = {159, 158, 160, 145, 144, 153, 386, 385, 387, 374, 373, 380}
LIPS_AND_IRISES = {13, 14, 0, 17, 61, 291, 78, 308, 82, 87, 312, 317, 468, 473}
"""Face-mesh landmarks."""
_POSE_PROBES = np.array([1.0, 1.0, 1.0, 0.01, 0.01, 0.01, 0.01])
"""Small changes of the pose numbers, used to measure what each moves."""
_DEPTH = POSE_SIZE - 1
"""Index of tz: engines that work in the picture plane keep it at zero, and then it is not coded."""


def fit(
    motion_vectors: Sequence[FloatArray],
    canonical: FloatArray,
    importance: FloatArray | None = None,
    target_error: float = TARGET_ERROR,
    dead_zone: float = HOLD,
    directions: Floats | None = None,
    edges: Sequence[float] = EDGES,
    counts: Iterable[int] = COMPONENTS,
) -> MotionBasis:
    """The basis for these motions. Raises ValueError if none reaches the target error, in px RMS over all keypoints.

    motion_vectors: a (T, 7 + 3K) array per clip, consecutive frames at 25 frames/s.
    canonical: (K, 3) typical canonical keypoints, which turn angles into distances.
    importance: (K,) what a movement of each keypoint's expression counts for; by default all the same.
    hold: see `shared.codec.bundle.held`.
    directions: (n, 3K) orthonormal rows to code the expression in, all of them; by default as many principal
    directions as pay. edges: of the contexts. These three are for measuring what the defaults bring.
    counts: numbers of components to try.
    """
    pose = [_pose_numbers(v) for v in motion_vectors]
    expression = [v[:, POSE_SIZE:].astype(np.float64) for v in motion_vectors]
    pose_mean = np.concatenate(pose).mean(0)
    stacked = np.concatenate(expression)
    expression_mean = stacked.mean(0)
    k = stacked.shape[1] // 3
    important = np.ones(3 * k) if importance is None else np.repeat(importance.astype(np.float64), 3)
    weights = np.tile([1.0, 1.0, DEPTH_WEIGHT], k) * np.exp(pose_mean[3]) * PIXELS * important
    if directions is None:
        directions = _principal_directions((stacked - expression_mean) * weights)
    else:
        counts = [len(directions)]

    pose_effects = _pose_effects(pose_mean, expression_mean, canonical)
    flat = not np.concatenate(pose)[:, _DEPTH].any()
    if flat:
        pose_effects[_DEPTH] = np.inf
    candidates = []
    for count in counts:
        u = directions[:count]
        weighted = (stacked - expression_mean) * weights
        lost = ((weighted - weighted @ u.T @ u) / important).reshape(-1, k, 3)[..., :2]
        left = target_error**2 - (lost**2).sum(-1).mean()
        if left <= 0:
            continue
        # An engine that works in depth may have a direction that moves nothing in the plane.
        component_effects = _planar_effects(u, k) if flat else np.full(count, 1 / np.sqrt(k))
        # Uniform rounding errors of equal weighted effect e add up to e²/12 for each number, less where the effect on
        # the picture is less than the weighted one.
        shares = (_planar_effects(u / important, k) / component_effects) ** 2
        effect = np.sqrt(12 * left / (_DEPTH + shares.sum()))
        basis = with_tables(
            pose,
            expression,
            dead_zone,
            edges,
            pose_mean=pose_mean,
            pose_steps=effect / pose_effects,
            expression_mean=expression_mean,
            components=u / weights,
            analysis=u * weights,
            component_steps=effect / component_effects,
        )
        candidates.append((_mean_bundle_bytes(basis, motion_vectors), basis))
    if not candidates:
        raise ValueError(f"no basis of up to {count} components reaches {target_error} px on these clips")
    return min(candidates, key=lambda candidate: candidate[0])[1]


def report(basis: MotionBasis, motion_vectors: Sequence[FloatArray], canonical: FloatArray, step: int = 1) -> str:
    """One line: payload bytes per frame with five frames per bundle, and RMS keypoint error in px at 256 px."""
    squared = []
    for vectors in motion_vectors:
        motions = [Motion.from_vector(v) for v in vectors[::step]]
        for sent, seen in zip(motions, quantise(motions, basis), strict=True):
            assert seen is not None
            moved = (keypoints(canonical, seen) - keypoints(canonical, sent))[:, :2] * PIXELS
            squared.append((moved**2).sum(-1).mean())
    size = _mean_bundle_bytes(basis, motion_vectors, step) / 5
    return f"{size:.2f} bytes a frame at {25 / step:g} frames/s, {np.sqrt(np.mean(squared)):.3f} px"


def keypoint_importance() -> FloatArray:
    """(K,) for the compact engine: eyelids and lips before the rest."""
    from shared.models.layers import KEYPOINTS, LANDMARKS

    importance = np.ones(KEYPOINTS, np.float32)
    for index, landmark in enumerate(LANDMARKS):
        importance[index] = EYELID_WEIGHT if landmark in EYELIDS else LIP_WEIGHT if landmark in LIPS_AND_IRISES else 1.0
    return importance


def _planar_effects(directions: Floats, k: int) -> Floats:
    """(n,) RMS movement over the keypoints, in the picture plane, of (n, 3K) movements."""
    return np.asarray(np.sqrt((directions.reshape(-1, k, 3)[..., :2] ** 2).sum((1, 2)) / k), np.float64)


def _pose_numbers(vectors: FloatArray) -> Floats:
    """(T, 7) yaw, pitch, roll, log scale, tx, ty, tz."""
    pose = vectors[:, :POSE_SIZE].astype(np.float64)
    pose[:, 3] = np.log(pose[:, 3])
    return pose


def _principal_directions(rows: Floats) -> Floats:
    """Orthonormal principal directions of centred rows, largest variance first."""
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return np.asarray(vectors.T[::-1], np.float64)


def _pose_effects(pose: Floats, expression: Floats, canonical: FloatArray) -> Floats:
    """(7,) RMS keypoint movement in px per unit of each pose number; along the depth for tz."""

    def points(p: Floats) -> Floats:
        vector = np.concatenate([p[:3], [np.exp(p[3])], p[4:], expression])
        return np.asarray(
            keypoints(canonical, Motion.from_vector(vector.astype(np.float32)))[:, :2] * PIXELS, np.float64
        )

    still = points(pose)
    moved = [points(pose + change) for change in np.diag(_POSE_PROBES)]
    effects = np.asarray([np.sqrt(((m - still) ** 2).sum(-1).mean()) for m in moved] / _POSE_PROBES, np.float64)
    effects[_DEPTH] = DEPTH_WEIGHT * PIXELS
    return effects


def _mean_bundle_bytes(basis: MotionBasis, motion_vectors: Iterable[FloatArray], step: int = 1) -> float:
    """Mean payload of bundles of five frames, every `step`-th frame sent."""
    sizes = []
    for vectors in motion_vectors:
        motions, encoder = [Motion.from_vector(v) for v in vectors[::step]], BundleEncoder(basis)
        for first in range(0, len(motions) - 4, 5):
            bundle = Bundle(first, first * 40 * step, 0, 40.0 * step, tuple(motions[first : first + 5]))
            sizes.append(len(encoder.encode(bundle)))
    return float(np.mean(sizes))


def extract_clips(paths: Sequence[Path], engine: Engine) -> tuple[list[FloatArray], FloatArray]:
    """Motion vectors per clip and the mean canonical keypoints, as the engine extracts them; says how far it is."""
    clips, canonicals = [], []
    for path in Bar(iterable=paths, desc="reading", unit="clip"):
        vectors = []
        for rgb in _frames(path):
            canonical, motion = engine.extract(rgb)
            canonicals.append(canonical)
            vectors.append(motion.vector())
        if vectors:
            clips.append(np.stack(vectors))
    print(f"read {len(paths)} clips", file=sys.stderr)
    return clips, np.asarray(np.mean(canonicals, axis=0), np.float32)


def _frames(path: Path) -> Iterable[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            found, bgr = capture.read()
            if not found:
                return
            yield np.ascontiguousarray(bgr[..., ::-1], np.uint8)
    finally:
        capture.release()


def _clips(folder: Path, every: int) -> list[Path]:
    paths = sorted(folder.glob("*_a.mp4"))[::every]
    if not paths:
        raise SystemExit(f"no clips (*_a.mp4) in {folder}; give a folder that holds some")
    return paths


@ended_by_signals("weights.training.fit_codec")
def main() -> None:
    """Fit on --clips, write --out, and report on --check, which should be other people."""
    parser = argparse.ArgumentParser(
        description="Fit the motion basis of an engine: the directions and steps in which its motions are coded, and "
        "how likely each number is. Both ends of a call need the same basis."
    )
    parser.add_argument("--engine", choices=ENGINES, default="compact", help="whose motions (default: compact)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="what extracts them")
    parser.add_argument("--clips", type=Path, required=True, help="folder of training clips (*_a.mp4, 25 frames/s)")
    parser.add_argument("--out", type=Path, required=True, help="basis to write (safetensors)")
    parser.add_argument("--check", type=Path, help="folder of other people's clips to report on")
    parser.add_argument("--every", type=int, default=3, help="use every n-th training clip (default 3)")
    arguments = parser.parse_args()
    try:
        engine = load_engine(arguments.engine, arguments.device, draws=False)
    except EngineError as error:
        raise SystemExit(f"fit_codec: {error}") from error
    clips, canonical = extract_clips(_clips(arguments.clips, arguments.every), engine)
    if arguments.engine == "compact":
        basis = fit(clips, canonical, keypoint_importance())
    else:  # keypoints that follow no landmarks
        basis = fit(clips, canonical, counts=PUBLISHED_COMPONENTS)
    basis.save(arguments.out)
    renew(arguments.out, "fitted to clips")
    print(f"{arguments.out}: hash {basis.hash}, {len(basis.components)} components")
    print("fitted clips:", report(basis, clips, canonical))
    if arguments.check:
        others, _ = extract_clips(_clips(arguments.check, 1), engine)
        for step in (1, 2):
            print("other people:", report(basis, others, canonical, step))


if __name__ == "__main__":
    sys.exit(main())
