"""The judge is a program of the user's: here a short one, which looks at the pictures that it gets."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from call_examples import read_clip

from benchmarks.cache import Cache
from benchmarks.clip import Clip
from benchmarks.judging import Judge, JudgeError, write_lossless
from benchmarks.measure import Measurer, Shown
from shared.models.engine import Picture

JUDGE = """
import json, sys, av
frames = [[f.to_ndarray(format="rgb24") for f in av.open(path).decode(video=0)] for path in sys.argv[1:]]
open(__file__ + ".calls", "a").write("x")
print("loading a model")
print(json.dumps(dict(sharp=float(frames[1][0].mean()), mouth_corr=float("nan"), blink_corr=0.5, akd_px=len(frames[0]),
                      pose_err_deg=float((frames[0][0] != frames[1][0]).mean()), lost=0, other=1)))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "judge.py"
    path.write_text(JUDGE, encoding="utf-8")
    return path


@pytest.fixture
def measure(person: list[Picture], tmp_path: Path) -> Measurer:
    clip = Clip("person", 25.0, [i / 25 for i in range(3)], person[:3])
    return Measurer(clip, Cache(tmp_path / "cache"), vmaf=False)


def same(measure: Measurer) -> Shown:
    return measure("the clip itself", lambda: ({}, measure.clip.pictures))


def test_figures_of_a_judge_are_kept(script: Path, measure: Measurer) -> None:
    judge = Judge(Path(sys.executable), script)
    figures = judge(measure, same(measure))
    mean = float(measure.clip.pictures[0].mean())
    assert figures["sharp"] == pytest.approx(mean)
    assert figures == {"sharp": figures["sharp"], "mouth_corr": None, "blink_corr": 0.5, "akd_px": 3,
                       "pose_err_deg": 0, "lost": 0}  # fmt: skip
    assert judge(measure, same(measure)) == figures
    assert Path(f"{script}.calls").read_text() == "x"
    script.write_text(JUDGE + "\n", encoding="utf-8")  # another judge
    Judge(Path(sys.executable), script)(measure, same(measure))
    assert Path(f"{script}.calls").read_text() == "xx"


def test_a_judge_that_fails_is_heard(script: Path, measure: Measurer, tmp_path: Path) -> None:
    script.write_text("raise SystemExit('no model of faces here')", encoding="utf-8")
    with pytest.raises(JudgeError, match=r"exit code 1.*no model of faces here"):
        Judge(Path(sys.executable), script)(measure, same(measure))
    with pytest.raises(JudgeError, match="there is no"):
        Judge(tmp_path / "python", script)


def test_what_is_judged_is_what_was_shown(person: list[Picture], tmp_path: Path) -> None:
    write_lossless(tmp_path / "x.mkv", person[:3], 25)
    pictures, rate = read_clip(tmp_path / "x.mkv")
    assert rate == 25
    assert np.array_equal(pictures, person[:3])
