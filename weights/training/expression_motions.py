"""The motions of clips with what the face mesh says of each frame: what the expression recipe learns from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.models.engine import Engine
from shared.motion import FloatArray
from shared.progress import Bar
from weights.training.clip_list import chosen_clips
from weights.training.data import read_frames, read_mesh
from weights.training.face import align, mean_face

SIDE = 256


class ClipMotions(NamedTuple):
    """One clip, as it was read."""

    person: str
    numbers: NDArray[np.int64]
    """(T,) which frames of the clip these are."""
    vectors: FloatArray
    """(T, 7 + 3K) motions, as `Motion.vector` has them."""
    canonical: FloatArray
    """(K, 3) median of the canonical keypoints: a person has one face."""
    faces: FloatArray
    """(T, 478, 3) landmarks turned, scaled and shifted onto the mean face of all clips."""
    seen: NDArray[np.bool_]
    """(T,) whether there were landmarks."""


def read_motions(folders: Sequence[Path], whole: Collection[str], every: int, engine: Engine) -> dict[str, ClipMotions]:
    """The motions of all clips by their names: each frame of those in `whole`, every so many of the others.

    Raises ValueError if there is no clip.
    """
    found: dict[str, tuple[str, int, FloatArray, FloatArray]] = {}
    meshes, seen = [], []
    for path, person in Bar(iterable=chosen_clips(folders, (), None), desc="reading motions", unit="clip"):
        step = 1 if path.stem in whole else every
        frames = read_frames(path, SIDE, step)
        read = [engine.extract(frame) for frame in frames]
        mesh, ok = read_mesh(path.with_suffix(".npz"), len(frames), step)
        vectors = np.stack([motion.vector() for _, motion in read])
        found[path.stem] = person, step, vectors, np.median([each for each, _ in read], axis=0).astype(np.float32)
        meshes.append(mesh)
        seen.append(ok > 0)
    mean = mean_face(np.concatenate([mesh[ok][::10] for mesh, ok in zip(meshes, seen, strict=True)]).astype(np.float64))
    clips = {}
    for (name, (person, step, vectors, canonical)), mesh, ok in zip(found.items(), meshes, seen, strict=True):
        numbers = np.arange(len(vectors)) * step
        clips[name] = ClipMotions(person, numbers, vectors, canonical, frontal(mesh, mean), ok)
    return clips


def frontal(mesh: FloatArray, mean: NDArray[np.float64]) -> FloatArray:
    """(T, L, 3) landmarks as the mean face has them: what is left is who it is, and what the face does."""
    pose = align(mesh.astype(np.float64) + 1e-9 * mean, mean)
    centred = (mesh - pose.translation[:, None]) / np.maximum(pose.scale, 1e-6)[:, None, None]
    return np.asarray(np.einsum("bij,bni->bnj", pose.rotation, centred), np.float32)


def save_motions(path: Path, clips: dict[str, ClipMotions]) -> None:
    """Writes them as one .npz; landmarks as fp16."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, clip in clips.items():
        arrays |= {f"{name}/{field}": np.asarray(getattr(clip, field)) for field in ClipMotions._fields}
        arrays[f"{name}/faces"] = clip.faces.astype(np.float16)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub takes allow_pickle for one of them


def load_motions(path: Path) -> dict[str, ClipMotions]:
    """Inverse of `save_motions`. Raises ValueError or OSError for another file."""
    with np.load(path) as file:
        names = dict.fromkeys(name.rpartition("/")[0] for name in file.files)
        fields = {name: {field: file[f"{name}/{field}"] for field in ClipMotions._fields} for name in names}
    return {
        name: ClipMotions(**(each | {"person": str(each["person"]), "faces": each["faces"].astype(np.float32)}))
        for name, each in fields.items()
    }
