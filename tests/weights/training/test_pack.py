from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from weights.training import pack, thinning, unpack, video
from weights.training.bases import KINDS, make_bases
from weights.training.clip_list import chosen_clips
from weights.training.data import read_frames, read_mesh
from weights.training.pack_format import read_manifest
from weights.training.packed_clips import packed_clips
from weights.training.squeezed_mesh import restore, squeeze


def faces(count: int) -> np.ndarray:
    """Meshes in -1..1 that turn, come nearer and open their mouth."""
    rng = np.random.default_rng(3)
    mean, mouth = rng.normal(0, 0.2, (478, 3)), rng.normal(0, 0.02, (478, 3))
    t = np.linspace(0, 1, count)[:, None, None]
    turned = mean[:, [2, 1, 0]] * [1, 1, -1]
    return np.asarray((1 + 0.1 * t) * (np.cos(t) * mean + np.sin(t) * turned + np.sin(9 * t) * mouth) + 0.1, np.float32)


@pytest.fixture(scope="module")
def packed(folder: Path, wire_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs")
    given = ["--clips", str(folder), "--dev", str(folder), "--wire", str(wire_cache), "--out", str(out)]
    assert pack.main([*given, "--size", "128", "--files", "2", "--limit-mib", "0.5", "--jobs", "1"]) == 0
    return out


def test_landmarks_come_back(folder: Path) -> None:
    mesh, ok = faces(60), np.ones(60, np.float32)
    ok[7] = 0
    points, found = restore(squeeze(mesh, ok))
    assert np.array_equal(found, ok)
    assert not points[7].any()
    assert np.abs(points - mesh)[ok > 0].max() * 128 < 0.2
    nobody = restore(squeeze(mesh, np.zeros(60, np.float32)))
    assert not nobody[0].any()
    assert nobody[0].shape == mesh.shape


def test_thinning_keeps_movement_and_rare_faces() -> None:
    mesh = np.repeat(faces(1), 60, 0)
    mesh[20:] += np.linspace(0, 0.5, 40)[:, None, None].astype(np.float32)
    mesh[10, 13, 1] -= 1  # once the mouth is wide open
    look = thinning.look(np.full((60, 32, 32), 9, np.uint8), mesh, np.ones(60, np.float32))
    kept = thinning.kept(look, 24, always=(5, 99))
    assert {5, 10} <= set(kept.tolist())
    assert len(kept) >= 24
    assert np.all(np.diff(kept) > 0)
    assert sum(kept >= 20) > 3 * sum((kept < 20) & (kept != 5) & (kept != 10) & (kept != 11))
    still = thinning.Look(np.zeros(60), np.zeros(0, np.int64))
    few, many = thinning.shared_out([still, look], 40)
    assert few < many
    assert abs(few + many - 40) <= 2
    assert thinning.shared_out([still, look], 1000) == [60, 60]


def test_frames_are_dealt_out_by_room() -> None:
    parts = pack.dealt(np.arange(1000), [100, 300])
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    assert 240 <= len(parts[0]) <= 260
    assert np.diff(parts[1]).max() <= 3


def test_what_was_packed_is_unpacked(packed: Path, folder: Path, tmp_path: Path) -> None:
    packs = sorted(packed.glob("pack-*.zip"))
    assert [path.name for path in packs] == ["pack-1.zip", "pack-2.zip"]
    assert all(path.stat().st_size < 0.5 * pack.MIB for path in packs)
    layout = unpack.unpack(packs, tmp_path, 1)
    train = layout["train"]
    assert train["names"] == train["persons"] == ["a", "b"]
    frames = np.load(tmp_path / "train_frames.npy")
    mesh, ok = np.load(tmp_path / "train_mesh.npy"), np.load(tmp_path / "train_ok.npy")
    for at, name in enumerate(train["names"]):
        numbers = train["numbers"][at]
        rows = slice(train["starts"][at], train["starts"][at + 1])
        true = read_frames(folder / f"{name}.mp4", 128)
        points, found = read_mesh(folder / f"{name}.npz", len(true), 1)
        assert cv2.PSNR(frames[rows], true[numbers]) > 34
        assert np.array_equal(ok[rows], found[numbers])
        assert np.abs(mesh[rows] - points[numbers])[ok[rows] > 0].max(initial=0) < 2 / 128
        mine = np.array(layout["wire"]["frames"])[np.array(layout["wire"]["clips"]) == at]
        assert len(mine) > 0
        assert set(mine.tolist()) <= set(numbers)
    assert np.load(tmp_path / "wire_frames.npy").shape == (len(layout["wire"]["frames"]), 128, 128, 3)
    assert layout["dev"]["numbers"] == [[0, 5, 10], [0, 5]]

    (tmp_path / "train_ok.npy").unlink()
    assert unpack.unpack(packs, tmp_path, 1) == layout
    assert not (tmp_path / "train_ok.npy").exists(), "what is there already is not unpacked again"
    alone = unpack.unpack(packs[1:], tmp_path, 1)
    assert alone["train"]["names"] == ["a", "b"]
    assert "dev" not in alone


def test_dev_clips_have_their_bases_too(folder: Path, base_folder: Path, tmp_path: Path) -> None:
    dev, out = tmp_path / "dev", tmp_path / "packs"
    dev.mkdir()
    (dev / "z.mp4").write_bytes((folder / "a.mp4").read_bytes())
    for kind in KINDS:
        make_bases([dev], [], tmp_path / "dev_bases", kind, None, 0)
    given = ["--clips", str(folder), "--bases", str(base_folder), "--dev", str(dev), "--out", str(out), "--jobs", "1"]
    assert pack.main([*given, "--dev-bases", str(tmp_path / "dev_bases"), "--size", "128"]) == 0
    layout = unpack.unpack(sorted(out.glob("pack-*.zip")), tmp_path / "data", 1)
    train, looked_at = (packed_clips(tmp_path / "data", layout, section) for section in ("train", "dev"))
    assert train.bases is not None and looked_at.bases is not None
    assert train.bases["large"].pictures.shape[1:] == (256, 256, 3)
    layer = json.loads((tmp_path / "dev_bases" / "large.json").read_text())["rows"][0]
    own = looked_at.bases["large"]
    assert own.layer.tolist() == [layer[2:]] * len(own.layer)
    numbers = looked_at.numbers[own.frame].tolist()
    assert set(numbers) <= {0, 5, 10}
    true = looked_at.frames[own.frame[0]].float()
    assert float((own.pictures[0][::2, ::2].float() - true).abs().mean()) < 20


def test_damage_is_noticed(packed: Path, tmp_path: Path) -> None:
    whole = packed / "pack-1.zip"
    digests = read_manifest(whole)["digests"]
    torn, other = tmp_path / "pack-1.zip", tmp_path / "pack-2.zip"
    torn.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(ValueError, match="no packed training data"):
        unpack.unpack([torn], tmp_path / "out", 1)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read("train/b.mp4") if name == "train/a.mp4" else old.read(name))
    assert "train/a.mp4" in digests
    with pytest.raises(ValueError, match=r"train/a\.mp4 is not what was packed"):
        unpack.unpack([other], tmp_path / "out", 1)
    assert unpack.read_layout(tmp_path / "out") is None
    with pytest.raises(ValueError, match="no packed data"):
        unpack.unpack([], tmp_path / "out", 1)


def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--clips", str(folder), "--out", str(tmp_path), "--size", "128", "--jobs", "1"]
    assert pack.main([*given, "--limit-mib", "0.01"]) == 1
    assert "fit" in capsys.readouterr().err
    (tmp_path / "clips.csv").write_text("file,upstream\na.mp4,Some capture\nb.mp4,other\n")
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes((folder / f"{name}.mp4").read_bytes())
    left = chosen_clips([tmp_path], ["upstream=capture"], None)
    assert [path.stem for path, _ in left] == ["b"]
    with pytest.raises(ValueError, match="leaves no clip"):
        chosen_clips([tmp_path], ["upstream=o"], None)


def test_a_video_that_is_short_is_no_video(folder: Path) -> None:
    frames = list(video.read_planes(folder / "b.mp4", 64))
    data = video.encoded(frames, 20)
    assert len(list(video.decoded(data, len(frames)))) == len(frames)
    with pytest.raises(ValueError, match="not 11"):
        list(video.decoded(data, 11))
