"""The bandwidth command on parts of a second, as a module and as a script."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import pytest

from benchmarks.bandwidth import main
from benchmarks.codecs import CODECS, VARIANTS

ROOT = Path(__file__).parents[2]
QUICK = ["--quick", "--seconds", "0.6", "--upscaler", "bicubic", "--device", "cpu"]
FRAMES = 15


def test_a_report_with_all_that_others_read_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot, sheet = tmp_path / "b.json", tmp_path / "b.png", tmp_path / "s.png"
    files = ["--json", str(out), "--plot", str(plot), "--sheet", str(sheet), "--cache", str(tmp_path / "cache")]
    asked = ["--freq", "15", "--sweep", "15:15", "--rungs", "balanced", "thin", *QUICK]
    assert main([*asked, *files]) == 0
    report = json.loads(out.read_text())
    assert "ours_balanced" not in report  # it is `ours`
    for name in ("ours", "ours_upscaled", "ours_thin"):
        check_call(report[name])
    assert report["ours_thin"]["wire_kbps_out"] < report["ours"]["wire_kbps_out"]
    assert report["ours_upscaled"]["source_bytes"] < report["ours"]["source_bytes"]
    assert report["face_vid2vid"]["payload_kbps"] > 114 * 8 * 25 / 1000
    assert report["face_vid2vid"]["sources"] == 1
    assert set(report["codecs"]) == set(CODECS)
    for codec in report["codecs"].values():
        assert set(codec["points"]) == set(map(str, VARIANTS))
        check_rival(codec, report["ours"])
    check_rival(report["base_alone"], report["ours"])
    dearest = max(("ours", "ours_upscaled", "ours_thin"), key=lambda name: report[name]["wire_kbps_out"])
    for rival in (report["base_alone"], *report["codecs"].values()):
        at = rival["at_rungs"][dearest]
        ours = report[dearest]["wire_kbps_out"] + report[dearest]["wire_kbps_back"]
        assert at["at_floor"] or at["wire_kbps"] + at["wire_kbps_back"] == pytest.approx(ours, abs=0.02)
    printed = capsys.readouterr().out
    assert "SVT-AV1 preset 8" in printed
    assert [point["interval"] for point in report["sweep"]["ours_upscaled"]] == [15]
    for path in (plot, sheet, tmp_path / "b_sweep.png"):
        picture = cv2.imread(str(path))
        assert picture is not None and picture.shape[1] > 1000
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    again = tmp_path / "again.json"
    assert main([*asked, "--json", str(again), "--cache", str(tmp_path / "cache")]) == 0
    assert json.loads(again.read_text()) == report
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == before


def check_call(ours: dict[str, Any]) -> None:
    """Bytes that add up."""
    assert ours["sources"] >= 1
    out, back = ours["wire_bytes_out"], ours["wire_bytes_back"]
    assert ours["payload_bytes"] == out["motion"] + out["pictures"] + out["control"]
    assert ours["motion_bytes_per_frame"] == pytest.approx(out["motion"] / FRAMES, abs=1e-3)
    for way, kbps in ((out, ours["wire_kbps_out"]), (back, ours["wire_kbps_back"])):
        assert kbps == pytest.approx(sum(way.values()) * 8 / ours["duration_s"] / 1000, rel=1e-3)
    assert ours["wire_kbps_out"] > ours["payload_kbps"] > 0
    assert back["sacks"] > 0
    assert 10 < ours["psnr"] < 60
    assert 0 < ours["ms_ssim"] < 1


def check_rival(rival: dict[str, Any], ours: dict[str, Any]) -> None:
    """Curves that rise, and where the best of them meets ours."""
    curves = list(rival["points"].values())
    for points in curves:
        for low, high in pairwise(points):
            assert low["wire_kbps"] < high["wire_kbps"]
            assert low["psnr"] < high["psnr"]
            assert low["ms_ssim"] < high["ms_ssim"] < 1
    wanted = ours["wire_kbps_out"] + ours["wire_kbps_back"]
    at = rival["at_our_rate"]
    lowest = min(points[0]["wire_kbps"] + points[0]["wire_kbps_back"] for points in curves)
    assert at["at_floor"] == (lowest > wanted)
    assert (at["wire_kbps"] + at["wire_kbps_back"] > wanted + 0.01) == at["at_floor"]
    assert sum(at["chosen"].values()) == 1
    equal = rival["at_our_quality"]
    assert equal["below_floor"] or equal["above_ceiling"] or equal["ms_ssim"] == ours["ms_ssim"]
    assert not equal["below_floor"] or any(points[0]["ms_ssim"] >= ours["ms_ssim"] for points in curves)


def test_rivals_without_an_engine_are_kept_for_when_there_is_one(tmp_path: Path) -> None:
    out, plot, cache = tmp_path / "r.json", tmp_path / "r.png", tmp_path / "cache"
    only = ["--rivals", "14", "--json", str(out), "--plot", str(plot)]
    assert main([*only, *QUICK, "--seconds", "0.3", "--cache", str(cache)]) == 0
    rivals = json.loads(out.read_text())
    assert "ours" not in rivals
    assert rivals["codecs"]["x265"]["at_our_rate"]["wanted_wire_kbps_both"] == rivals["rate"] == 14
    assert plot.stat().st_size > 10_000
    kept = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert main(["--freq", "15", *QUICK, "--seconds", "0.3", "--json", str(out), "--cache", str(cache)]) == 0
    report = json.loads(out.read_text())
    for name in ("base_alone", "ours", "face_vid2vid"):
        assert name in report
    for variant, points in rivals["codecs"]["vp9"]["points"].items():
        assert report["codecs"]["vp9"]["points"][variant][: len(points)] == points  # finer ones at a higher rate
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_several_videos_a_judge_and_the_mean(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge, out = tmp_path / "judge.py", tmp_path / "b.json"
    judge.write_text(
        "import json; print(json.dumps(dict.fromkeys(('sharp', 'mouth_corr', 'blink_corr', 'akd_px', 'pose_err_deg', "
        "'lost'), 0.5)))"
    )
    arguments = ["--video", "sample", str(clip), "--judge", sys.executable, str(judge), "--no-cache"]
    assert main([*arguments, *QUICK, "--seconds", "0.3", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert set(report["clips"]) == {"sample", clip.stem}
    psnrs = [each["ours"]["psnr"] for each in report["clips"].values()]
    assert report["ours"]["psnr"] == pytest.approx(sum(psnrs) / 2, abs=1e-4)
    assert report["ours"]["judge"]["sharp"] == 0.5
    assert report["codecs"]["vp9"]["at_our_rate"]["judge"]["akd_px"] == 0.5
    assert report["wins"]["x264"]["sharp"] == {"better": [], "worse": ["sample", clip.stem]}
    won = report["wins"]["every_rival"]["psnr"]
    assert {*won["better"], *won["worse"]} == {"sample", clip.stem}
    assert f"WORSE on sample, {clip.stem}" in capsys.readouterr().out


def heeds_interrupts() -> None:
    """A suite that runs in the background may have been told to ignore them, and what it starts would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_script_that_is_stopped_says_so(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "bandwidth.py"), "--cache", str(tmp_path / "cache"), "--quick"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        script, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heeds_interrupts
    ) as process:
        assert process.stderr is not None
        # While weights are being read, an interrupt may come out as an error of theirs: not before frames are drawn.
        assert any(re.search(r"\b[1-9]\d?%\|.*Pinhole", line) for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopped; the same command goes on from here" in said
    assert "Traceback" not in said


def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = ["--cache", str(tmp_path)]
    assert main(["--video", str(tmp_path / "none.mp4"), *cache]) == 1
    assert "there is no file" in capsys.readouterr().err
    assert main(["--judge", str(tmp_path / "python"), "judge.py", *cache]) == 1
    assert "--judge takes a Python interpreter and a script" in capsys.readouterr().err
    for wrong in (
        ["--sweep", "9:3"],
        ["--freq", "0"],
        ["--rivals", "fast"],
        ["--rivals", "14", "--sweep", "1:9"],
        ["--refresh", "often"],
        ["--freq", "5", "--pose-threshold", "9"],
    ):
        with pytest.raises(SystemExit):
            main(wrong)
        assert "error" in capsys.readouterr().err
