"""Packed training data as flat arrays: `python -m weights.training.unpack --help`.

One process a core decodes with OpenCV straight into arrays on disk, which training then maps and copies to its device.
numpy and OpenCV are all it needs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.resampling import resampled
from shared.signals import ended_by_signals
from weights.training.face import MESH
from weights.training.pack_format import PATTERN, read_manifest, read_member, unpacked_arrays
from weights.training.squeezed_mesh import restore
from weights.training.video import decoded
from weights.training.workers import workers

BASE_SIDES = {"small": 128, "large": 256}
"""As in `weights.training.bases`, which takes seconds to import in every process."""
LAYOUT = "layout.json"
"""Written last: what it describes is whole."""


@dataclass(frozen=True)
class Job:
    """A video, and where its frames belong."""

    pack: Path
    manifest: dict[str, Any]
    member: str
    target: Path
    rows: list[int]
    side: int | None = None
    """Of the pictures in a target that does not say it itself"""


def unpack(packs: Sequence[Path], out: Path, jobs: int | None = None) -> dict[str, Any]:
    """Unpacks files into a folder, unless they are there already; the layout.

    The layout names clips, persons, frame numbers and where each clip starts; sections are `train` and, where packed,
    `dev` and `wire`; the arrays are SECTION_frames.npy (N, S, S, 3) uint8, SECTION_mesh.npy (N, 478, 3) fp16 and
    SECTION_ok.npy (N,) fp32. Raises ValueError for files that are damaged or missing.
    """
    if not packs:
        raise ValueError(f"there is no packed data ({PATTERN}): write it with python -m weights.training.pack")
    out.mkdir(parents=True, exist_ok=True)
    manifests = [read_manifest(path) for path in packs]
    key = hashlib.sha256(json.dumps([m["digests"] for m in manifests], sort_keys=True).encode()).hexdigest()
    layout = read_layout(out)
    if layout is not None and layout["key"] == key:
        return layout
    (out / LAYOUT).unlink(missing_ok=True)
    work, layout = list[Job](), {"key": key, "size": manifests[0]["size"]}
    for name in ("train", "dev"):
        holding = [(path, m) for path, m in zip(packs, manifests, strict=True) if name in m]
        if holding:
            layout[name] = _section(name, holding, out, work)
    layout["wire"] = _wire(packs, manifests, out, work, {c: i for i, c in enumerate(layout["train"]["names"])})
    names = [*layout["train"]["names"], *layout.get("dev", {"names": ()})["names"]]
    layout["bases"] = _bases(packs, manifests, out, work, names)
    for path, manifest in zip(packs, manifests, strict=True):
        if manifest.get("perceptual"):
            (out / manifest["perceptual"]).write_bytes(read_member(path, manifest, manifest["perceptual"]))
            layout["perceptual"] = manifest["perceptual"]
    work.sort(key=lambda job: -len(job.rows))  # the longest first: nobody waits for the last one
    with workers(jobs) as spread:
        for _ in spread(_perform, work):
            pass
    part = out / f"{LAYOUT}.part"
    part.write_text(json.dumps(layout), encoding="utf-8")
    part.replace(out / LAYOUT)
    return layout


def read_layout(folder: Path) -> dict[str, Any] | None:
    """What was unpacked into a folder; None if that was not finished."""
    try:
        layout: dict[str, Any] = json.loads((folder / LAYOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return layout


def _section(name: str, packs: Sequence[tuple[Path, dict[str, Any]]], out: Path, work: list[Job]) -> dict[str, Any]:
    """Clips of all files, each clip's frames in their order; its arrays are made and its landmarks written."""
    persons: dict[str, str] = {}
    numbers: dict[str, list[int]] = {}
    for _, manifest in packs:
        for clip in manifest[name]["clips"]:
            persons[clip["name"]] = clip["person"]
            numbers[clip["name"]] = sorted({*numbers.get(clip["name"], ()), *clip["numbers"]})
    names = sorted(persons)
    starts = [0, *np.cumsum([len(numbers[each]) for each in names]).tolist()]
    row = {
        each: dict(zip(numbers[each], range(start, 1 << 62), strict=False))
        for each, start in zip(names, starts, strict=False)
    }
    target, count, size = out / f"{name}_frames.npy", starts[-1], packs[0][1]["size"]
    np.lib.format.open_memmap(target, "w+", np.uint8, (count, size, size, 3))
    mesh, ok = np.zeros((count, MESH, 3), np.float16), np.zeros(count, np.float32)
    for path, manifest in packs:
        rows = []
        for clip in manifest[name]["clips"]:
            own = [row[clip["name"]][number] for number in clip["numbers"]]
            work.append(Job(path, {"digests": manifest["digests"]}, clip["member"], target, own))
            rows += own
        points, found = restore(unpacked_arrays(read_member(path, manifest, manifest[name]["mesh"])))
        mesh[rows], ok[rows] = points, found
    np.save(out / f"{name}_mesh.npy", mesh)
    np.save(out / f"{name}_ok.npy", ok)
    return {
        "names": names, "persons": [persons[each] for each in names], "starts": starts,
        "numbers": [numbers[each] for each in names],
    }  # fmt: skip


def _wire(
    packs: Sequence[Path], manifests: Sequence[dict[str, Any]], out: Path, work: list[Job], place: dict[str, int]
) -> dict[str, Any]:
    """Coded sources, sorted by clip; their array is made."""
    videos = [(path, m, v) for path, m in zip(packs, manifests, strict=True) for v in m.get("wire", ())]
    clip = np.array([place[name] for _, _, v in videos for name in v["clips"]], np.int64)
    frame = np.array([number for _, _, v in videos for number in v["frames"]], np.int64)
    order = np.lexsort((frame, clip))
    rows = np.empty(len(order), np.int64)
    rows[order] = np.arange(len(order))
    target, size, at = out / "wire_frames.npy", manifests[0]["size"], 0
    if len(order):
        np.lib.format.open_memmap(target, "w+", np.uint8, (len(order), size, size, 3))
    for path, manifest, entry in videos:
        own = rows[at : at + len(entry["frames"])].tolist()
        work.append(Job(path, {"digests": manifest["digests"]}, entry["member"], target, own))
        at += len(own)
    return {"clips": clip[order].tolist(), "frames": frame[order].tolist()}


def _bases(
    packs: Sequence[Path], manifests: Sequence[dict[str, Any]], out: Path, work: list[Job], names: list[str]
) -> list[str]:
    """Base layers as `weights.training.bases` writes them, by clip and time, dev clips last; their kinds."""
    place = {name: number for number, name in enumerate(names)}
    sections = [
        (p, m, m[each]) for p, m in zip(packs, manifests, strict=True) for each in ("train", "dev") if each in m
    ]
    videos = [(path, manifest, video) for path, manifest, section in sections for video in section["bases"]]
    kinds = sorted({v["kind"] for _, _, v in videos})
    for kind in kinds:
        own = [each for each in videos if each[2]["kind"] == kind]
        rows = sorted({(place[v["clip"]], *row) for _, _, v in own for row in v["rows"]})
        at = {(clip, number): row for row, (clip, number, _, _) in enumerate(rows)}
        side = BASE_SIDES[kind]
        np.memmap(out / f"{kind}.u8", np.uint8, "w+", shape=(len(rows), side, side, 3)).flush()
        about = {"side": side, "clips": names, "rows": rows}
        (out / f"{kind}.json").write_text(json.dumps(about), encoding="utf-8")
        for path, manifest, entry in own:
            target = [at[place[entry["clip"]], number] for number, _, _ in entry["rows"]]
            digests = {"digests": manifest["digests"]}
            work.append(Job(path, digests, entry["member"], out / f"{kind}.u8", target, side))
    return kinds


def _perform(job: Job) -> None:
    """Decodes a video into its rows, enlarged bicubically if it is smaller (shrunk by area)."""
    if job.side is None:
        target = np.load(job.target, mmap_mode="r+")
    else:
        target = np.memmap(job.target, np.uint8, "r+").reshape(-1, job.side, job.side, 3)
    side = target.shape[1]
    data = read_member(job.pack, job.manifest, job.member)
    for row, frame in zip(job.rows, decoded(data, len(job.rows)), strict=True):
        target[row] = resampled(frame, side)


@ended_by_signals("weights.training.unpack")
def main(given: list[str] | None = None) -> int:
    """0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m weights.training.unpack", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help=f"folder of {PATTERN}")
    parser.add_argument("--out", type=Path, required=True, help="folder for the arrays")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    args = parser.parse_args(given)
    began = time.monotonic()
    try:
        layout = unpack(sorted(args.data.glob(PATTERN)), args.out, args.jobs)
    except (ValueError, OSError) as error:
        print(f"python -m weights.training.unpack: {error}", file=sys.stderr)
        return 1
    counts = ", ".join(f"{layout[name]['starts'][-1]} {name} frames" for name in ("train", "dev") if name in layout)
    print(f"{counts}, {len(layout['wire']['frames'])} coded sources in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
