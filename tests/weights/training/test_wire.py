"""The cache of sources as the wire degrades them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from call_examples import psnr, write_clip

from shared.models.engine import Picture
from weights.training.source_cache import (
    SIZES,
    WireSources,
    clip_paths,
    main,
    make_cache,
    packed,
    through_the_codec,
    unpacked,
)

STEP = 4


@pytest.fixture(scope="module")
def folder(person: list[Picture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of the sample person, the last shorter than a step, and two recordings that are not for training."""
    folder = tmp_path_factory.mktemp("clips")
    small = [np.ascontiguousarray(p[::2, ::2]) for p in person]
    write_clip(folder / "b.mp4", small[20:32])
    write_clip(folder / "a.mp4", small[:10])
    write_clip(folder / "c.mp4", small[:1])
    write_clip(folder / "raw_d.mp4", small[:5])
    write_clip(folder / "a_512.mp4", small[:5])
    return folder


@pytest.fixture(scope="module")
def cache(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cache") / "wire.npz"
    make_cache(folder, path, step=STEP, seed=1)
    return path


def changed(cache: Path, path: Path, **arrays: np.ndarray | None) -> Path:
    """A copy of the cache with other arrays; None leaves one out."""
    with np.load(cache) as z:
        everything = {key: z[key] for key in z.files} | arrays
    np.savez(path, **{key: value for key, value in everything.items() if value is not None})
    return path


def test_clips_are_those_that_training_reads(folder: Path, tmp_path: Path) -> None:
    assert [p.stem for p in clip_paths(folder)] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="no clips"):
        clip_paths(tmp_path)


def test_sources_are_sorted_by_clip_and_one_in_a_step(cache: Path) -> None:
    sources = WireSources.load(cache, ["a", "b", "c"], 64)
    assert sources.frames.shape == (len(sources.clip), 64, 64, 3)
    starts = sources.starts.tolist()
    assert starts[0] == 0 and starts[-1] == len(sources.clip)
    assert 2 <= starts[1] <= 3 and starts[2] - starts[1] == 3 and starts[3] - starts[2] <= 1
    for clip in range(3):
        assert set(sources.clip[starts[clip] : starts[clip + 1]].tolist()) <= {clip}
        assert set(sources.frame[starts[clip] : starts[clip + 1]].diff().tolist()) <= {STEP}


def test_a_source_is_its_frame_degraded(folder: Path, cache: Path) -> None:
    sources = WireSources.load(cache, ["b"], 128)
    capture, frames = cv2.VideoCapture(str(folder / "b.mp4")), []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    for source, number in zip(sources.frames.numpy(), sources.frame.tolist(), strict=True):
        assert 18 < psnr(source, frames[number]) < 45


def test_names_choose_and_number_the_clips(cache: Path) -> None:
    everything = WireSources.load(cache, ["a", "b", "c"], 64)
    some = WireSources.load(cache, ["new", "b", "a"], 64)
    a, b, _ = everything.starts.diff().tolist()
    assert some.starts.tolist() == [0, 0, b, b + a]
    assert some.clip.tolist() == [1] * b + [2] * a
    assert (some.frames[:b] == everything.frames[a : a + b]).all()
    with pytest.raises(ValueError, match="no source of these clips"):
        WireSources.load(cache, ["x"], 64)


def test_a_clip_becomes_the_same_whatever_stands_before_it(folder: Path, cache: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "b.mp4").write_bytes((folder / "b.mp4").read_bytes())
    make_cache(alone, tmp_path / "b.npz", step=STEP, seed=1)
    one, other = (WireSources.load(path, ["b"], 64) for path in (tmp_path / "b.npz", cache))
    assert (one.frames == other.frames).all() and (one.frame == other.frame).all()


def test_sizes_and_qualities_vary(folder: Path, tmp_path: Path) -> None:
    make_cache(folder, tmp_path / "w.npz", step=1, limit=2)
    with np.load(tmp_path / "w.npz") as z:
        ends, data = z["ends"], z["data"]
    pictures = [unpacked(data[b:e]) for b, e in zip([0, *ends[:-1]], ends, strict=True)]
    assert {p.shape for p in pictures if p is not None} == {(s, s, 3) for s in SIZES}


@pytest.mark.parametrize("kind", ["noise", "flat"])
def test_packing_loses_next_to_nothing(kind: str) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(90, 160, (64, 64, 3), np.uint8) if kind == "noise" else np.full((64, 64, 3), 77, np.uint8)
    again = unpacked(np.frombuffer(packed(picture), np.uint8))
    assert again is not None
    assert np.abs(again.astype(int) - picture).mean() < 3


def test_quality_is_what_the_codec_makes_of_it(person: list[Picture]) -> None:
    low, high = (psnr(through_the_codec(person[0], quality), person[0]) for quality in (35, 85))
    assert low < high
    assert (through_the_codec(person[0], "max") == person[0]).all()


def test_damaged_and_foreign_files_are_refused(cache: Path, tmp_path: Path) -> None:
    with np.load(cache) as z:
        arrays = {key: z[key] for key in z.files}
    noise = arrays["data"] // 2
    bad = {
        "missing": tmp_path / "nowhere.npz",
        "text": tmp_path / "text.npz",
        "cut": tmp_path / "cut.npz",
        "plain": tmp_path / "plain.npy",
        "foreign": changed(cache, tmp_path / "f.npz", data=None),
        "pictures": changed(cache, tmp_path / "p.npz", data=noise),
        "ends": changed(cache, tmp_path / "e.npz", ends=arrays["ends"][:-1]),
        "beyond": changed(cache, tmp_path / "b.npz", ends=arrays["ends"] + 1),
        "index": changed(cache, tmp_path / "i.npz", index=arrays["index"] + 3),
        "negative": changed(cache, tmp_path / "n.npz", index=arrays["index"] - 1),
        "kind": changed(cache, tmp_path / "k.npz", frame=arrays["frame"].astype(np.float32)),
        "empty": changed(cache, tmp_path / "z.npz", **{k: arrays[k][:0] for k in ("index", "frame", "ends", "data")}),
    }
    bad["text"].write_text("no cache")
    bad["cut"].write_bytes(cache.read_bytes()[:-2000])
    np.save(bad["plain"], noise)
    messages = {"missing": "there is no .*weights.training.source_cache", "pictures": "cannot be decoded"}
    for name, path in bad.items():
        with pytest.raises(ValueError, match=messages.get(name, "damaged")):
            WireSources.load(path, ["a", "b", "c"], 64)


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "w.npz"
    assert main(["--clips", str(folder), "--out", str(out), "--step", "8", "--limit", "1"]) == 0
    assert len(WireSources.load(out, ["a"], 64).clip) == 2
    said = capsys.readouterr()
    assert "1/1 clips" in said.err and "sources" in said.out
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]
    assert main(["--clips", str(tmp_path), "--out", str(out)]) == 1
    assert "no clips" in capsys.readouterr().err
    assert main(["--clips", str(folder), "--out", str(out / "w.npz")]) == 1
    assert "w.npz" in capsys.readouterr().err


def test_reading_needs_no_encoder(cache: Path) -> None:
    script = (
        "import sys; sys.modules['av'] = None; from pathlib import Path;"
        "from weights.training.source_cache import WireSources;"
        "print(len(WireSources.load(Path(sys.argv[1]), ['b'], 64).clip))"
    )
    done = subprocess.run([sys.executable, "-c", script, cache], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"
