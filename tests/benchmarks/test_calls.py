"""The calls command: its figures, means and failures on reports made up here, and one call that is real."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from call_examples import ROOT, write_clip

from benchmarks import calls
from benchmarks.calls import COLUMNS, figures, main, parse, summaries, text
from benchmarks.processes import CallFailed

FRAMES = 10

TWO = ("--profile", "balanced", "thin")


def reports(out: float = 7.0, shown: int = FRAMES, delay: float | None = 250.0) -> dict[str, dict[str, Any]]:
    """What both sides report of a call of ten frames."""
    steady = {
        "wire_kbps_out": out, "wire_kbps_in": 2.5, "payload_kbps": 3.0, "duration_s": 2.0,
        "payload_bytes_by_channel": {"motion": 400, "pictures": 300, "control": 50},
    }  # fmt: skip
    return {
        "sender": {"frames_sent": FRAMES // 2, "frames_repeated": 1, "sources_sent": 2, "steady": steady},
        "receiver": {"frames_shown": shown, "steady": {"delay_ms": {"p50": delay, "p95": delay}}},
    }


def made(**options: Any) -> dict[str, Any]:
    """The figures of such a call."""
    both = reports(**options)
    return figures(FRAMES, both["sender"], both["receiver"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips."""
    path = tmp_path / "clips"
    path.mkdir()
    for name in ("a", "b"):
        write_clip(path / f"{name}.mp4", [np.full((64, 64, 3), 10 * n, np.uint8) for n in range(FRAMES)])
    return path


def test_figures_are_those_of_the_steady_call_and_of_all_frames() -> None:
    assert made(shown=9) == {
        "frames": 10, "frames_shown": 9, "shown_percent": 90.0, "repeated_percent": 10.0, "sources": 2,
        "wire_kbps_out": 7.0, "wire_kbps_back": 2.5, "payload_kbps": 3.0, "motion_kbps": 1.6,
        "delay_p50_ms": 250.0, "delay_p95_ms": 250.0,
    }  # fmt: skip
    with pytest.raises(CallFailed, match="none of the 10 frames was shown"):
        made(shown=0)


def test_mean_median_and_worst_leave_out_what_failed() -> None:
    clips = {
        "a": {"thin": made(out=2.0, shown=10), "balanced": {"error": "no"}},
        "b": {"thin": made(out=3.0, shown=9, delay=None)},
        "c": {"thin": made(out=7.0, shown=5)},
        "d": {"thin": {"error": "no"}},
    }
    together = summaries(clips)
    assert [together[name]["thin"]["wire_kbps_out"] for name in ("mean", "median", "worst")] == [4.0, 3.0, 7.0]
    assert [together[name]["thin"]["shown_percent"] for name in ("mean", "median", "worst")] == [80.0, 90.0, 50.0]
    assert together["mean"]["thin"]["delay_p50_ms"] == 250.0  # of the calls that know one
    assert "balanced" not in together["mean"]
    assert set(together["worst"]["thin"]) == set(COLUMNS)
    assert summaries({"a": {"thin": made(delay=None)}})["mean"]["thin"]["delay_p50_ms"] is None


def test_a_table_for_every_profile_and_what_failed_below() -> None:
    clips: dict[str, Any] = {
        "a": {"balanced": made(shown=9), "thin": made(delay=None)},
        "b": {"balanced": {"error": "the sender failed; it printed:\nno camera"}, "thin": made()},
    }
    balanced, thin, failure = text({"clips": clips, **summaries(clips)}).split("\n\n")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in balanced.splitlines()]
    assert cells[0] == ["balanced, kbit/s", *(title for title, _ in COLUMNS.values())]
    assert cells[2] == ["a", "9 of 10", "10.0 %", "2", "7.00", "2.50", "3.00", "1.60", "250", "250"]
    assert cells[3] == ["b", "failed", *"-" * 8]
    assert [line[0] for line in cells[4:]] == ["mean", "median", "worst"]
    assert cells[6][1] == "90.0 %"
    assert thin.splitlines()[2].split()[-2:] == ["-", "|"]
    assert failure == "b, balanced: the sender failed; it printed:\nno camera"


def test_a_call_that_fails_loses_no_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def call(options: Sequence[str | Path], waiting: Callable[[], object]) -> dict[str, Any]:
        asked.append([str(option) for option in options])
        waiting()
        if "b.mp4" in asked[-1][1] and "balanced" in asked[-1]:
            raise CallFailed("the lens is cracked")
        return reports()

    monkeypatch.setattr(calls, "call", call)
    out = tmp_path / "c.json"
    (folder / "c.mp4").write_bytes(b"no video")
    assert main(["--clips", str(folder), *TWO, "--seconds", "0.2", "--json", str(out)]) == 1
    assert len(asked) == 4
    assert asked[1] == [
        "--source", str(folder / "a.mp4"), "--framing", "none", "--profile", "thin", "--seconds", "0.2",
    ]  # fmt: skip
    report = json.loads(out.read_text())
    assert report["clips"]["a"]["thin"] == {
        **reports(), **figures(5, **reports()),
    }  # fmt: skip
    assert report["clips"]["b"]["balanced"] == {"error": "the lens is cracked"}
    assert "c.mp4" in report["clips"]["c"]["thin"]["error"]
    assert report["mean"]["thin"]["wire_kbps_out"] == 7.0
    printed = capsys.readouterr()
    assert "b, balanced: the lens is cracked" in printed.out
    assert "3 of 6 calls failed" in printed.err
    assert main(["--clips", str(folder), "--limit", "1", "--profile", "thin"]) == 0


def test_ctrl_c_says_what_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(options: Sequence[str | Path], waiting: Callable[[], object]) -> dict[str, Any]:
        if "thin" in options:
            raise KeyboardInterrupt
        return reports()

    monkeypatch.setattr(calls, "call", call)
    out = tmp_path / "c.json"
    assert main(["--clips", str(folder), *TWO, "--json", str(out)]) == 130
    assert f"interrupted after 1 of 4 calls, which {out} holds" in capsys.readouterr().err
    assert list(json.loads(out.read_text())["clips"]["a"]) == ["balanced"]


def test_what_cannot_be_done_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", str(tmp_path)]) == 1
    assert "holds no clip" in capsys.readouterr().err
    for wrong in (["--profile", "thick"], ["--limit", "0"], ["--seconds", "-1"], ["--json", "nowhere/c.json"]):
        with pytest.raises(SystemExit):
            parse(["--clips", str(tmp_path), *wrong])
    assert parse(["--clips", str(tmp_path), "--profile", "thin", "thin"]).profile == ["thin"]


@pytest.mark.slow
def test_a_real_call(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    out = tmp_path / "c.json"
    assert main(["--clips", str(clip.parent), "--profile", "balanced", "--seconds", "1.5", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    call = report["clips"][clip.stem]["balanced"]
    assert call["frames"] == call["sender"]["frames_sent"] == call["receiver"]["frames_received"] == 38
    assert 0 < call["frames_shown"] <= 38
    assert call["sources"] >= 1
    assert 0 < call["motion_kbps"] <= call["payload_kbps"] < call["wire_kbps_out"]
    assert call["wire_kbps_back"] > 0 and call["delay_p95_ms"] >= call["delay_p50_ms"] > 0
    assert report["mean"]["balanced"] == {key: call[key] for key in COLUMNS}
