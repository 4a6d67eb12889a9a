"""Talking-head clips in memory: frames, landmarks, and batches of (source, driving) pairs augmented on the device.

A clips folder holds `NAME.mp4` (square) and `NAME.npz` with `base`, `d`, `scale` (face-mesh landmarks as 8-bit steps in
time) and `ok` (frames with a face). Clips without landmarks train too, without the landmark losses.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shared.models.base_fusion import STATE
from weights.training import face
from weights.training.bases import ODDS, STALE, Bases, base_states, presence
from weights.training.clip_list import chosen_clips
from weights.training.source_cache import WireSources

RARE_SHARE = 0.35
"""Share of driving frames taken from those with shut eyes or an open mouth: few, and what a viewer watches."""
_RAREST = 0.1
FAR_SHARE = 0.2
"""Share of driving frames that are the furthest turned away from the source among a few: a fast turn is rare, and what
a call looks worst at."""
_FAR_OF = 4
MIN_FACES = 8
"""Fewer faces with landmarks than this make no mean face: such clips train without landmark losses."""


class Side(NamedTuple):
    """What is known of the source or driving frames of a batch, in the augmented picture."""

    picture: Tensor
    """(B, 3, S, S) in 0..1"""
    mesh: Tensor
    """(B, L, 3) landmarks in -1..1, z in the same unit"""
    ok: Tensor
    """(B,) 1 where there are landmarks"""
    rotation: Tensor
    """(B, 3, 3) of the head"""
    scale: Tensor
    """(B,)"""
    translation: Tensor
    """(B, 3)"""


class Batch(NamedTuple):
    """Each row is of one person."""

    sources: list[Side]
    driving: Side
    received: list[Tensor]
    """(B, 3, S, S) each source as a receiver has it: coded and shrunken, or as it is"""
    base: BaseSide | None = None


class BaseSide(NamedTuple):
    """The base layer of a batch."""

    true: Tensor
    """(B, 3, S, S) the frames that the base pictures show"""
    picture: Tensor
    """(B, 3, S, S) as decoded and enlarged"""
    state: Tensor
    """(B, STATE) as `shared.models.base_fusion.base_state`; presence 0 where a row has none"""


@dataclass(frozen=True)
class Augmentation:
    """Widths of the random changes that both pictures of a pair share."""

    turn: float = 8.6
    """± degrees"""
    zoom: float = 0.15
    shift: float = 0.1
    """± half picture widths"""
    colour: float = 0.15


def read_frames(path: Path, size: int, step: int = 1) -> np.ndarray:
    """(T, size, size, 3) uint8 RGB, every `step`-th frame of a square clip."""
    capture, frames, index = cv2.VideoCapture(str(path)), [], 0
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        if index % step == 0:
            if frame.shape[0] != size:
                frame = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        index += 1
    if not frames:
        raise ValueError(f"{path.name}: no frame could be read")
    return np.stack(frames)


def read_mesh(path: Path, frames: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, 478, 3) float32 landmarks in -1..1, z in the same unit, and (T,) 1 where a face was found."""
    if not path.exists():
        return np.zeros((frames, face.MESH, 3), np.float32), np.zeros(frames, np.float32)
    z = np.load(path)
    steps = np.cumsum(z["d"].astype(np.int32), axis=2)
    points = ((z["base"][:, :, None].astype(np.int32) + steps).transpose(2, 1, 0) / z["scale"]).astype(np.float32)
    points = points[::step][:frames] * 2 - np.array([1, 1, 0], np.float32)
    ok = z["ok"][::step][:frames].astype(np.float32)
    short = frames - len(points)  # landmarks may end a frame early: such frames count as "no face"
    return np.pad(np.nan_to_num(points), ((0, short), (0, 0), (0, 0))), np.pad(ok, (0, short))


@dataclass(frozen=True)
class Clips:
    """All frames of a folder."""

    frames: Tensor
    """(N, S, S, 3) uint8"""
    mesh: Tensor
    """(N, L, 3) fp16"""
    ok: Tensor
    """(N,) 1 where there are landmarks"""
    poses: tuple[Tensor, Tensor, Tensor]
    """(N, 3, 3) rotation, (N,) scale, (N, 3) translation of the head"""
    mirror: Tensor
    """(L,) which landmark takes the place of which in a mirrored picture"""
    starts: Tensor
    """(clips + 1,) where each clip begins in the frames"""
    rare: tuple[Tensor, Tensor]
    """Indices of frames with shut eyes or an open mouth, and (clips + 1,) where each clip's begin in them"""
    step: int
    names: list[str]
    numbers: Tensor
    """(N,) number of each frame in its clip, at the clip's own rate"""
    people: tuple[Tensor, Tensor]
    """Indices of clips sorted by person, and (people + 1,) where each person's begin"""
    wire: WireSources | None = None
    bases: dict[str, Bases] | None = None
    """By kind"""

    @staticmethod
    def load(
        folders: Path | Sequence[Path],
        size: int,
        step: int,
        limit: int | None = None,
        wire: Path | None = None,
        *,
        without: Sequence[str] = (),
        bases: Path | None = None,
        store: Path | None = None,
    ) -> Clips:
        """Decodes every `step`-th frame of each clip once. `wire`: cache of coded sources. `bases`: folder of them.

        `store`: a file for the frames, if they are not to stay in memory. Raises ValueError.
        """
        chosen = chosen_clips([folders] if isinstance(folders, Path) else folders, without, limit)
        kept, meshes, oks, starts = _Frames(store, size), [], [], [0]
        for path, _ in chosen:
            clip = read_frames(path, size, step)
            mesh, ok = read_mesh(path.with_suffix(".npz"), len(clip), step)
            kept.add(clip)
            meshes.append(mesh)
            oks.append(ok)
            starts.append(starts[-1] + len(clip))
        points, found = np.concatenate(meshes).astype(np.float64), np.concatenate(oks)
        poses, mirror = head_poses(points, found > 0)
        names = [path.stem for path, _ in chosen]
        numbers = np.concatenate([np.arange(b - a, dtype=np.int64) * step for a, b in itertools.pairwise(starts)])
        return Clips(
            kept.whole(), torch.from_numpy(points).half(), torch.from_numpy(found),
            poses, mirror, torch.tensor(starts), rare_frames(points, found > 0, starts), step, names,
            torch.from_numpy(numbers), by_person([person for _, person in chosen]),
            None if wire is None else WireSources.load(wire, names, size),
            None if bases is None else {kind: Bases.load(bases, kind, names, starts, numbers) for kind in ODDS},
        )  # fmt: skip

    def to(self, device: torch.device) -> Clips:
        """A copy on `device`, where batches are then picked, too: a large GPU is never kept waiting for frames."""
        rotation, scale, translation = (t.to(device) for t in self.poses)
        rare, starts = (t.to(device) for t in self.rare)
        order, begins = (t.to(device) for t in self.people)
        return replace(
            self, frames=self.frames.to(device), mesh=self.mesh.to(device), ok=self.ok.to(device),
            poses=(rotation, scale, translation), mirror=self.mirror.to(device), starts=self.starts.to(device),
            rare=(rare, starts), people=(order, begins), numbers=self.numbers.to(device),
            wire=None if self.wire is None else self.wire.to(device),
            bases=None if self.bases is None else {kind: each.to(device) for kind, each in self.bases.items()},
        )  # fmt: skip

    def picked(self, batch: int, sources: int, random: torch.Generator) -> tuple[Tensor, list[Tensor], Tensor]:
        """(batch,) clips at random, and frames at random of each: sources, and a driving one."""
        clips = self._of_people(batch, random)
        low, length = self.starts[clips], self.starts[clips + 1] - self.starts[clips]
        pick = _uniform(random, sources + 2, batch)
        frames = [low + (each * length).long() for each in pick[2:]]
        driving = low + (pick[0] * length).long()
        indices, starts = self.rare
        count = starts[clips + 1] - starts[clips]
        if len(indices):
            rare = indices[(starts[clips] + (pick[0] * count).long()).clamp_max(len(indices) - 1)]
            driving = torch.where((pick[1] < RARE_SHARE) & (count > 0), rare, driving)
        far = self._furthest(frames[0], low, length, random)
        return clips, frames, torch.where(pick[1] > 1 - FAR_SHARE, far, driving)

    def _of_people(self, batch: int, random: torch.Generator) -> Tensor:
        """(batch,) clips: every person as often as any other, then every clip of theirs."""
        order, starts = self.people
        person = (_uniform(random, batch) * (len(starts) - 1)).long()
        own = starts[person + 1] - starts[person]
        return order[starts[person] + (_uniform(random, batch) * own).long()]

    def _furthest(self, source: Tensor, low: Tensor, length: Tensor, random: torch.Generator) -> Tensor:
        """(batch,) of a few frames of the clip the one whose head is turned furthest away from the source's."""
        some = low + (_uniform(random, _FAR_OF, len(low)) * length).long()
        rotation = self.poses[0]
        # the trace of a relative rotation falls with its angle
        trace = (rotation[some] * rotation[source][None]).sum((-2, -1))
        best = torch.where(self.ok[some] > 0, trace, torch.full_like(trace, 9.0)).argmin(0)
        chosen: Tensor = some.gather(0, best[None])[0]
        return chosen

    def batch(
        self,
        batch: int,
        size: int,
        random: torch.Generator,
        change: Augmentation,
        sources: int = 1,
        wire_share: float = 0.9,
        with_base: bool = False,
        chance: np.random.Generator | None = None,
    ) -> Batch:
        """A batch at `size` px: one random mirroring, turn, zoom, shift and colour for all pictures of a row.

        `random` is on the device of the clips. What decides the shapes of tensors comes from `chance`, so that nothing
        waits for a GPU; without it from `random`, too.
        """
        clips, frames, driving = self.picked(batch, sources, random)
        coded = [self._coded(clips, i, random, wire_share) for i in frames]
        indices = [*frames, driving]
        pictures = [self.frames[i] for i in indices] + [c for c in coded if c is not None]
        based = None if self.bases is None or not with_base else self._based(driving, random)
        pictures += [] if based is None else [self.frames[based[0]], based[1]]
        move = _Move(batch, random, change)
        moved = move.pictures(torch.cat(pictures), size, random, change).chunk(len(pictures))
        sides = [self._side(picture, i, move) for picture, i in zip(moved, indices, strict=False)]
        base = None
        if based is not None:
            base, moved = BaseSide(moved[-2], moved[-1], based[2]), moved[:-2]
        received = moved[sources + 1 :] or moved[:sources]
        return Batch(sides[:-1], sides[-1], [degrade(picture, chance or random) for picture in received], base)

    def _based(self, driving: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """For driving frames (B,): frames that base pictures show, (B, S, S, 3) these, (B, STATE) states."""
        assert self.bases is not None
        side, frame = self.frames.shape[1], driving
        kind, late = _uniform(random, 2, len(driving))
        back = (late > STALE[0]).long() + (late > STALE[1]).long()
        picture = torch.full_like(self.frames[:1], 128).expand(len(driving), -1, -1, -1)
        state = torch.zeros(len(driving), STATE, device=driving.device)
        low = 0.0
        for name, share in ODDS.items():
            bases = self.bases[name]
            rows, ages = bases.before(driving, back, self.numbers)
            there = presence(ages)
            use = (kind >= low) & (kind < low + share) & (there > 0)
            low += share
            own = base_states(there, ages, bases.layer[rows])
            state = torch.where(use[:, None], own, state)
            frame = torch.where(use, bases.frame[rows], frame)
            picture = torch.where(use[:, None, None, None], enlarged(bases.pictures[rows], side), picture)
        return frame, picture, state

    def newest_bases(self, driving: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """For driving frames (B,): frames that the newest large base pictures show, (B, size, size, 3) these pictures,
        (B, STATE) states."""
        assert self.bases is not None
        bases = self.bases["large"]
        rows, ages = bases.before(driving, torch.zeros_like(driving), self.numbers)
        states = base_states(presence(ages), ages, bases.layer[rows])
        return bases.frame[rows], enlarged(bases.pictures[rows], size), states

    def _coded(self, clips: Tensor, i: Tensor, random: torch.Generator, share: float) -> Tensor | None:
        """(B, S, S, 3) the sources as coded for the wire, for a share of the pairs; changes `i` to their frames."""
        wire = self.wire
        if wire is None:
            return None
        low, count = wire.starts[clips], wire.starts[clips + 1] - wire.starts[clips]
        use = (_uniform(random, len(clips)) < share) & (count > 0)
        pick = low + (_uniform(random, len(clips)) * count).long()
        pick = pick.clamp_max(len(wire.clip) - 1)
        frame = (wire.frame[pick] // self.step).minimum(self.starts[clips + 1] - self.starts[clips] - 1)
        i.copy_(torch.where(use, self.starts[clips] + frame, i))
        coded: Tensor = torch.where(use[:, None, None, None], wire.frames[pick], self.frames[i])
        return coded

    def _side(self, picture: Tensor, index: Tensor, move: _Move) -> Side:
        mesh = self.mesh[index].float()
        mesh = torch.where(move.mirrored[:, None, None] > 0, mesh[:, self.mirror], mesh)
        rotation, scale, translation = (t[index] for t in self.poses)
        return Side(picture, move.points(mesh), self.ok[index], *move.pose(rotation, scale, translation))


class _Frames:
    """Frames of one clip after the other, in memory or in a file."""

    def __init__(self, store: Path | None, size: int) -> None:
        self._store, self._size, self._count = store, size, 0
        self._parts: list[Tensor] = []
        self._file = None if store is None else store.open("wb")

    def add(self, frames: np.ndarray) -> None:
        self._count += len(frames)
        if self._file is None:
            self._parts.append(torch.from_numpy(frames))
        else:
            self._file.write(frames.tobytes())

    def whole(self) -> Tensor:
        """(N, size, size, 3)"""
        if self._file is None or self._store is None:
            return torch.cat(self._parts)
        self._file.close()
        shape = (self._count, self._size, self._size, 3)
        return torch.from_file(str(self._store), shared=True, size=int(np.prod(shape)), dtype=torch.uint8).view(shape)


def by_person(people: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Indices of clips sorted by the person each shows, and where each person's begin, and the end."""
    order = sorted(range(len(people)), key=people.__getitem__)
    begins = [at for at, i in enumerate(order) if at == 0 or people[i] != people[order[at - 1]]]
    return torch.tensor(order), torch.tensor([*begins, len(order)])


def head_poses(points: np.ndarray, found: np.ndarray) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """Rotations (N, 3, 3), scales (N,), translations (N, 3) of (N, L, 3) meshes, and the mirror order (L,)."""
    n = len(points)
    rotation, scale, translation = np.tile(np.eye(3), (n, 1, 1)), np.ones(n), np.zeros((n, 3))
    order = np.arange(points.shape[1])
    if found.sum() >= MIN_FACES:
        mean = face.mean_face(points[found][:: max(1, int(found.sum()) // 2000)])
        order = face.mirror_order(mean)
        rotation[found], scale[found], translation[found] = face.align(points[found], mean)
    return (
        torch.from_numpy(rotation).float(), torch.from_numpy(scale).float(), torch.from_numpy(translation).float(),
    ), torch.from_numpy(order)  # fmt: skip


def rare_frames(points: np.ndarray, found: np.ndarray, starts: list[int]) -> tuple[Tensor, Tensor]:
    """Of each clip, the tenth of its frames with the least open eyes and the tenth with the most open mouth."""

    def distance(a: int, b: int) -> np.ndarray:
        return np.asarray(np.linalg.norm(points[:, a, :2] - points[:, b, :2], axis=-1))

    span = distance(33, 263) + 1e-6
    eyes, mouth = (distance(159, 145) + distance(386, 374)) / span, distance(13, 14) / span
    chosen, ends = [], [0]
    for start, end in itertools.pairwise(starts):
        faces = start + np.flatnonzero(found[start:end])
        count = max(1, round(_RAREST * len(faces)))
        if len(faces):
            chosen += [faces[np.argsort(eyes[faces])[:count]], faces[np.argsort(-mouth[faces])[:count]]]
        ends.append(ends[-1] + (2 * count if len(faces) else 0))
    return torch.from_numpy(np.concatenate(chosen) if chosen else np.zeros(0, np.int64)), torch.tensor(ends)


class _Move:
    """One random change of place for each pair: mirrored, then turned, zoomed and shifted."""

    def __init__(self, batch: int, random: torch.Generator, change: Augmentation) -> None:
        def symmetric(*shape: int) -> Tensor:
            return 2 * _uniform(random, *shape) - 1

        self.mirrored = (symmetric(batch) > 0).float()
        angle = np.radians(change.turn) * symmetric(batch)
        zoom = 1 + change.zoom * symmetric(batch)
        shift = change.shift * symmetric(batch, 2)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        # sampling: a pixel p of the new picture shows matrix · p + shift of the (mirrored) old one
        self.matrix = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)
        self.shift = shift
        # not `inv`, which waits for a GPU to say whether there is one
        self.inverse = (
            torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], 1) / zoom[:, None, None] ** 2
        )

    def pictures(self, pictures: Tensor, size: int, random: torch.Generator, change: Augmentation) -> Tensor:
        """(k·B, 3, size, size) floats from (k·B, S, S, 3) bytes."""
        times = len(pictures) // len(self.shift)
        flip = (1 - 2 * self.mirrored)[:, None]
        matrix = torch.cat([self.matrix, self.shift[..., None]], 2)
        matrix = torch.cat([matrix[:, :1] * flip[..., None], matrix[:, 1:]], 1)
        x = pictures.permute(0, 3, 1, 2).float() / 255
        g = F.affine_grid(matrix.repeat(times, 1, 1), [len(x), 3, *x.shape[2:]], align_corners=False)
        x = F.grid_sample(x, g, align_corners=False, padding_mode="reflection")
        if x.shape[-1] > size:  # after sampling: as crisp as a picture shrunk by area, which the sender makes
            x = F.avg_pool2d(x, x.shape[-1] // size)
        batch = len(self.shift)
        gain = 1 + change.colour * (2 * _uniform(random, batch, 3, 1, 1) - 1)
        bias = 0.33 * change.colour * (2 * _uniform(random, batch, 1, 1, 1) - 1)
        out: Tensor = x * gain.repeat(times, 1, 1, 1) + bias.repeat(times, 1, 1, 1)
        return out.clamp(0, 1)

    def points(self, points: Tensor) -> Tensor:
        """Landmarks (B, L, 3), already in mirrored order, as they lie in the new picture."""
        xy = torch.cat([points[..., :1] * (1 - 2 * self.mirrored)[:, None, None], points[..., 1:2]], -1)
        xy = (xy - self.shift[:, None]) @ self.inverse.transpose(1, 2)
        return torch.cat([xy, points[..., 2:] * self._zoom[:, None, None]], -1)

    def pose(self, rotation: Tensor, scale: Tensor, translation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Head poses in the new picture: a mirrored turn is F R F, one in the picture plane goes before it."""
        f = torch.ones(len(scale), 3, device=scale.device)
        f[:, 0] = 1 - 2 * self.mirrored
        rotation = f[:, :, None] * rotation * f[:, None, :]
        plane = F.pad(self.inverse / self._zoom[:, None, None], (0, 1, 0, 1))
        plane[:, 2, 2] = 1
        return plane @ rotation, scale * self._zoom, self.points(translation[:, None])[:, 0]

    @property
    def _zoom(self) -> Tensor:
        """How much larger things get."""
        (a, b), (c, d) = (row.unbind(-1) for row in self.inverse.unbind(1))
        zoom: Tensor = (a * d - b * c).sqrt()
        return zoom


def degrade(source: Tensor, random: torch.Generator | np.random.Generator, share: float = 0.25) -> Tensor:
    """A share of the batches gets its sources shrunken to between a third and the whole, and enlarged again."""

    def chance() -> float:
        return float(random.random() if isinstance(random, np.random.Generator) else _uniform(random))

    if chance() >= share:
        return source
    size = source.shape[-1]
    small = int(size * (0.34 + 0.66 * chance())) // 2 * 2
    shrunk = F.interpolate(source, size=(small, small), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(shrunk, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def enlarged(pictures: Tensor, side: int) -> Tensor:
    """(B, side, side, 3) bytes of (B, S, S, 3), bicubic."""
    if pictures.shape[1] == side:
        return pictures
    planes = pictures.permute(0, 3, 1, 2).float()
    planes = F.interpolate(planes, size=(side, side), mode="bicubic", align_corners=False)
    return planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _uniform(random: torch.Generator, *shape: int) -> Tensor:
    """Numbers in 0..1 on the generator's device."""
    return torch.rand(shape, generator=random, device=random.device)
