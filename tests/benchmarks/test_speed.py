"""The speed command: its keys, never its times."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.speed import main, timed


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Several spinning threads would take seconds a frame on a busy machine; thread counts are put back afterwards."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_core")
def test_all_stages_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s.json"
    assert main(["--json", str(out), "--repeats", "2", "--seconds", "0.2", "--device", "cpu"]) == 0
    report = json.loads(out.read_text())
    stages = {
        "sender": {"framing", "motion", "motion_encode", "picture_encode"},
        "receiver": {
            "motion_decode", "picture_decode", "upscale", "source", "synthesis", "synthesis_two_sources",
            "synthesis_one_thread", "recording",
        },
    }  # fmt: skip
    for end, names in stages.items():
        assert set(report[end]) == names | {"fps"}
        assert report[end]["fps"] > 0
        for name in names:
            assert 0 < report[end][name]["median_ms"] <= report[end][name]["p95_ms"]
    assert {"cores", "cpu", "torch"} <= set(report["machine"])
    assert "frames/s" in capsys.readouterr().out


def test_timing_counts_runs_and_leaves_the_first_out() -> None:
    runs: list[int] = []
    stage = timed(lambda: runs.append(1), repeats=4, frames=5)
    assert len(runs) == 5
    assert set(stage) == {"median_ms", "p95_ms"}
