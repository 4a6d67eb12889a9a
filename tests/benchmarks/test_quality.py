"""The quality command on a clip of twelve frames."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from call_examples import read_clip

from benchmarks.quality import find_clips, main, policy
from benchmarks.sheet import moments
from receiver.output.recorder import Recorder
from sender.refresh import EveryN, First, PoseMoved
from sender.sample import sample_frames
from shared.models.engine import Picture

FRAMES = 12


def write_clip(path: Path, pictures: list[Picture]) -> None:
    with Recorder(path, 25, pictures[0].shape[0]) as recorder:
        for picture in pictures:
            recorder.write(picture)


@pytest.fixture
def clips(tmp_path: Path, person: list[Picture]) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "a.mp4", person[:FRAMES])
    return folder


def test_figures_sheet_and_video_of_a_clip(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, sheet, save = tmp_path / "q.json", tmp_path / "s.png", tmp_path / "drawn"
    (clips / "raw_x.mp4").write_bytes(b"not looked at")
    (clips / "b_512.mp4").write_bytes(b"not looked at")
    arguments = ["--clips", str(clips), "--json", str(out), "--sheet", str(sheet), "--save", str(save)]
    assert main([*arguments, "--picture-quality", "max", "--policy", "first", "--device", "cpu"]) == 0
    report = json.loads(out.read_text())
    assert list(report["clips"]) == ["a"]
    clip = report["clips"]["a"]
    for what in ("engine", "freeze"):
        assert 10 < clip[what]["psnr"] < 100
        assert 0 < clip[what]["ms_ssim"] <= 1
        assert report["mean"][what] == clip[what]  # one clip is its own mean
    assert (clip["frames"], clip["sources"]) == (FRAMES, 1)
    assert clip["source_bytes"] > 1000
    assert 0 < clip["motion_bytes_per_frame"] < 100
    assert report["settings"]["policy"] == "first"
    assert report["settings"]["picture_quality"] == "max"
    picture = cv2.imread(str(sheet))
    assert picture is not None and picture.shape[1] > 9 * 192
    assert len(read_clip(save / "a.mp4")[0]) == FRAMES
    assert "mean: drawn" in capsys.readouterr().out


def test_more_sources_are_counted(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "q.json"
    arguments = ["--clips", str(clips), "--json", str(out), "--policy", "freq:4", "--picture-size", "64"]
    assert main([*arguments, "--device", "cpu"]) == 0
    report = json.loads(out.read_text())
    assert report["clips"]["a"]["sources"] == 4
    assert report["settings"]["policy"] == "freq:4"
    engine, freeze = (report["clips"]["a"][what] for what in ("engine", "freeze"))
    assert engine["wire_kbps"] > 2 * freeze["wire_kbps"] > 0
    assert freeze["jump_ratio"] is None
    for name in ("keypoint_error_px", "mouth_psnr", "eyes_psnr", "sharp", "flicker", "jump_ratio"):
        assert engine[name] > 0


def test_512_is_drawn_or_enlarged_and_the_latter_is_softer(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(clips / "a_512.mp4", [picture for _, picture in sample_frames(25.0, 0.12, 512)])
    found = []
    for how in ([], ["--enlarge"]):
        out = tmp_path / "q.json"
        arguments = ["--clips", str(clips), "--size", "512", "--picture-size", "512", "--json", str(out), *how]
        assert main([*arguments, "--device", "cpu"]) == 0
        found.append(json.loads(out.read_text()))
        assert list(found[-1]["clips"]) == ["a_512"]
    assert "enlarged" not in found[0]["settings"]
    assert "bicubically" in found[1]["settings"]["enlarged"]
    drawn, enlarged = (report["mean"]["engine"]["sharp"] for report in found)
    assert drawn > enlarged
    assert "wire" in capsys.readouterr().out


def test_what_cannot_be_measured_is_said_in_a_sentence(
    clips: Path, tmp_path: Path, person: list[Picture], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--clips", str(tmp_path / "nowhere")]) == 1
    assert "holds no clip" in capsys.readouterr().err
    small = [np.ascontiguousarray(p[:64, :64]) for p in person[:3]]
    write_clip(clips / "a.mp4", small)
    assert main(["--clips", str(clips), "--device", "cpu"]) == 1
    assert "64 px" in capsys.readouterr().err
    (clips / "a.mp4").write_bytes(b"")
    assert main(["--clips", str(clips), "--device", "cpu"]) == 1
    assert "empty" in capsys.readouterr().err


def test_clips_are_chosen_by_name(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4", "a_512.mp4", "raw_640x480.mp4", "a.npz"):
        (tmp_path / name).touch()
    assert [p.name for p in find_clips(tmp_path, 256)] == ["a.mp4", "b.mp4"]
    assert [p.name for p in find_clips(tmp_path, 256, limit=1)] == ["a.mp4"]
    assert [p.name for p in find_clips(tmp_path, 512)] == ["a_512.mp4"]


def test_policies_by_name() -> None:
    assert policy("first") == First()
    assert policy("freq:15") == EveryN(15)
    assert policy("pose:12.5") == PoseMoved(12.5)
    for wrong in ("often", "freq:", "freq:0", "pose:many"):
        with pytest.raises(argparse.ArgumentTypeError):
            policy(wrong)


def test_moments_hold_the_worst_frame_and_stay_in_order() -> None:
    psnrs = [30.0] * 40
    psnrs[33] = 20.0
    chosen = moments(psnrs)
    assert 33 in chosen
    assert len(chosen) == len(set(chosen)) == 4
    assert chosen == sorted(chosen)
    assert moments([25.0]) == [0]
