"""Training data in one or two files of a given size: `python -m weights.training.pack --help`.

For a machine that is lent for minutes and to which little can be carried. Frames are thinned out (movement and rare
faces stay) and kept as H.264, which OpenCV reads; landmarks are kept in a basis of their own, sources as the wire codes
them as near-lossless video. Every file holds all people, so that each is of use alone. This needs PyAV, unpacking
does not (`python -m weights.training.unpack`).
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.signals import ended_by_signals
from weights.training import thinning, video
from weights.training.clip_list import chosen_clips
from weights.training.data import read_mesh
from weights.training.pack_format import NAME, PATTERN, packed_arrays, write_pack
from weights.training.packed_bases import ClipBases, read_bases
from weights.training.packed_wire import read_coded
from weights.training.squeezed_mesh import squeeze
from weights.training.workers import Spread, workers

MIB = 1 << 20
DEV_STEP = 5
"""Dev clips are only looked at: every so many frames are enough."""
_CRF, _DEV_CRF = 22.0, 16.0
_SAMPLED = 12
"""Every so many clips are packed first, to learn what a frame takes."""
_SPARE = 0.98
"""Share of the room that is aimed at."""
_LEAST_ROOM = 0.1
"""Share of a file that frames should have: so that each is of use alone."""


@dataclass(frozen=True)
class Seen:
    """A clip before it is packed."""

    path: Path
    person: str
    length: int
    look: thinning.Look
    always: tuple[int, ...]
    """Frames that something else refers to"""
    bases: ClipBases


@dataclass(frozen=True)
class Thinned:
    """Frames of a clip as they are packed."""

    name: str
    person: str
    numbers: list[int]
    video: bytes
    mesh: NDArray[np.float32]
    ok: NDArray[np.float32]
    bases: dict[str, tuple[list[list[int]], bytes]]
    """By kind, see `ClipBases.packed`"""


def seen(job: tuple[Path, str, int, tuple[int, ...], ClipBases]) -> Seen:
    """What thinning has to know of a clip."""
    path, person, size, always, bases = job
    frames = [video.luma(frame) for frame in video.read_planes(path, size)]
    side = (thinning.THUMB, thinning.THUMB)
    thumbs = np.stack([cv2.resize(frame, side, interpolation=cv2.INTER_AREA) for frame in frames])
    look = thinning.look(np.asarray(thumbs, np.uint8), *read_mesh(path.with_suffix(".npz"), len(frames), 1))
    return Seen(path, person, len(frames), look, always, bases)


def thinned(job: tuple[Path, str, int, NDArray[np.int64], float, ClipBases]) -> Thinned:
    """The frames `numbers` of a clip with their landmarks."""
    path, person, size, numbers, crf, bases = job
    frames = list(video.read_planes(path, size))
    mesh, ok = read_mesh(path.with_suffix(".npz"), len(frames), 1)
    data = video.encoded([frames[number] for number in numbers], crf)
    whole = [int(n) for n in numbers]
    return Thinned(path.stem, person, whole, data, mesh[numbers], ok[numbers], bases.packed(whole))


def section(name: str, clips: Sequence[Thinned]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Entry of the manifest, and members, of clips. Raises ValueError if there are none."""
    if not clips:
        raise ValueError("a file has room for no frame at all: give fewer --files, or a larger --limit-mib")
    entries = [
        {"name": c.name, "person": c.person, "numbers": c.numbers, "member": f"{name}/{c.name}.mp4"} for c in clips
    ]
    members = {f"{name}/{c.name}.mp4": c.video for c in clips}
    bases = []
    for clip in clips:
        for kind, (rows, data) in clip.bases.items():
            bases.append({"kind": kind, "clip": clip.name, "rows": rows, "member": f"{kind}/{clip.name}.mp4"})
            members[f"{kind}/{clip.name}.mp4"] = data
    mesh, ok = (np.concatenate([getattr(c, part) for c in clips]) for part in ("mesh", "ok"))
    members[f"{name}.npz.xz"] = packed_arrays(squeeze(mesh, ok))
    return {"clips": entries, "mesh": f"{name}.npz.xz", "bases": bases}, members


def size_of(about: dict[str, Any], members: dict[str, bytes]) -> int:
    """Bytes of a file with these members."""
    return len(zlib.compress(json.dumps(about).encode())) + sum(len(d) + 4 * len(n) + 250 for n, d in members.items())


class Packer:
    """Packs one set of clips for some files."""

    def __init__(self, args: argparse.Namespace, spread: Spread) -> None:
        self._args, self._spread = args, spread
        self._coded, bases = read_coded(args.wire), read_bases(args.bases)
        clips = chosen_clips(args.clips, args.without, args.limit)
        jobs = [(path, who, args.size, self._coded.frames_of(path.stem), bases.of(path.stem)) for path, who in clips]
        self._seen = list(spread(seen, jobs))
        print(f"{len(clips)} clips, {sum(s.length for s in self._seen)} frames", flush=True)

    def fixed(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """What the first file holds beside frames."""
        args, about, members = self._args, dict[str, Any](), dict[str, bytes]()
        if args.dev:
            dev, bases = [], read_bases(args.dev_bases)
            for path, person in chosen_clips([args.dev], (), args.limit):
                looked_at = np.arange(0, _length(path), DEV_STEP)
                dev.append((path, person, args.size, looked_at, _DEV_CRF, bases.of(path.stem)))
            about["dev"], members = section("dev", list(self._spread(thinned, dev)))
        if args.perceptual:
            about["perceptual"] = f"perceptual{args.perceptual.suffix}"
            members[about["perceptual"]] = args.perceptual.read_bytes()
        about["wire"], coded = self._coded.packed([s.path.stem for s in self._seen])
        return about, members | coded

    def frames(self, rooms: Sequence[int]) -> list[list[Thinned]]:
        """Of every clip, the frames for each of the files, which have so many bytes of room."""
        share = self._bytes_a_frame(self._seen[:: max(1, min(_SAMPLED, len(self._seen) // 4))])
        total, count = _SPARE * sum(rooms) / share, -1
        while True:
            wanted = thinning.shared_out([s.look for s in self._seen], int(total))
            kept = [thinning.kept(s.look, some, s.always) for s, some in zip(self._seen, wanted, strict=True)]
            files = [self._thinned(self._seen, [dealt(k, rooms)[at] for k in kept]) for at in range(len(rooms))]
            sizes = [size_of(*section("train", file)) for file in files]
            print(f"{sum(map(len, kept))} frames: {', '.join(f'{s / MIB:.1f} MiB' for s in sizes)}", flush=True)
            over = max(size / room for size, room in zip(sizes, rooms, strict=True))
            if over <= 1:
                return files
            count, before = sum(map(len, kept)), count
            if count == before:
                raise ValueError("not even the fewest frames fit: give more --files, a larger --limit-mib, fewer clips")
            total = min(total, count) * _SPARE / over

    def _thinned(self, clips: Sequence[Seen], numbers: Sequence[NDArray[np.int64]]) -> list[Thinned]:
        jobs = [
            (s.path, s.person, self._args.size, n, self._args.crf, s.bases)
            for s, n in zip(clips, numbers, strict=True)
            if len(n)
        ]
        return list(self._spread(thinned, jobs))

    def _bytes_a_frame(self, sample: Sequence[Seen]) -> float:
        counts = thinning.shared_out([s.look for s in sample], int(0.4 * sum(s.length for s in sample)))
        numbers = [thinning.kept(s.look, c, s.always) for s, c in zip(sample, counts, strict=True)]
        members = section("train", self._thinned(sample, numbers))[1]
        return sum(map(len, members.values())) / sum(map(len, numbers)) + 12


def dealt(numbers: NDArray[np.int64], rooms: Sequence[int]) -> list[NDArray[np.int64]]:
    """Frames dealt out to files in the ratio of their room, evenly over the clip."""
    share = np.cumsum(np.asarray(rooms, float) / sum(rooms))
    # the golden ratio spreads any share of consecutive numbers evenly
    place = (np.arange(1, len(numbers) + 1) * 0.6180339887) % 1
    which = np.minimum(np.searchsorted(share, place, side="right"), len(rooms) - 1)
    return [numbers[which == at] for at in range(len(rooms))]


def _length(path: Path) -> int:
    return sum(1 for _ in video.read_planes(path, 16))


def pack(args: argparse.Namespace) -> list[Path]:
    """Writes the files; their paths come back. Raises ValueError."""
    args.out.mkdir(parents=True, exist_ok=True)
    with workers(args.jobs) as spread:
        packer = Packer(args, spread)
        about, members = packer.fixed()
        limit = int(args.limit_mib * MIB)
        taken = size_of(about, members)
        rooms = [limit - taken, *[limit] * (args.files - 1)]
        if rooms[0] < _LEAST_ROOM * limit:
            raise ValueError(
                f"all but the frames takes {taken / MIB:.1f} MiB: give a larger --limit-mib, or leave some out"
            )
        print(f"all but the training frames: {taken / MIB:.1f} MiB", flush=True)
        files = packer.frames(rooms)
    for old in args.out.glob(PATTERN):
        old.unlink()
    paths = []
    for number, clips in enumerate(files, 1):
        train, own = section("train", clips)
        more = (about, members) if number == 1 else ({}, {})
        paths.append(args.out / NAME.format(number))
        write_pack(paths[-1], {"size": args.size, "train": train, **more[0]}, own | more[1])
    return paths


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m weights.training.pack", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="folders of training clips")
    parser.add_argument("--without", nargs="*", default=[], metavar="COLUMN=TEXT",
                        help="leave out clips of which clips.csv says so, as upstream=Multiface")  # fmt: skip
    parser.add_argument("--dev", type=Path, help="folder of clips of other people, for the figures")
    parser.add_argument("--wire", type=Path, nargs="*", default=[], help="caches of coded sources of those folders")
    parser.add_argument("--bases", type=Path, metavar="FOLDER", help="coded base layers of those folders")
    parser.add_argument("--dev-bases", type=Path, metavar="FOLDER", help="the same of the clips of --dev")
    parser.add_argument("--perceptual", type=Path, metavar="FILE", help="network of the perceptual loss")
    parser.add_argument("--out", type=Path, required=True, help="folder for pack-1.zip, ...")
    parser.add_argument("--files", type=int, default=1, help="how many files (default: 1); each is of use alone")
    parser.add_argument("--limit-mib", type=float, default=48, help="size of a file at most (default: 48)")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in px (default: 256)")
    parser.add_argument("--crf", type=float, default=_CRF, help=f"quality, lower is better (default: {_CRF:g})")
    parser.add_argument("--limit", type=int, help="use only the first LIMIT clips of each folder")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    return parser


@ended_by_signals("weights.training.pack")
def main(given: list[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    parser = arguments()
    args = parser.parse_args(given)
    if args.files < 1:
        parser.error("--files is at least 1")
    try:
        for path in pack(args):
            print(f"{path}: {path.stat().st_size / MIB:.1f} MiB")
    except (ValueError, OSError) as error:
        print(f"python -m weights.training.pack: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
