"""The speed command: its keys, never its times."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from call_examples import ColourEngine

from benchmarks import engine_speed
from benchmarks.engine_speed import Budget, engine_figures, engine_table, runs, variants
from benchmarks.speed import main, timed
from receiver.upscale import Bicubic
from shared.models import openvino_engine, precision
from shared.models.engine import Engine, EngineError


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
    few = ["--engines", "compact", "--sizes", "256", "--batches", "1", "2"]
    assert main(["--json", str(out), "--repeats", "2", "--seconds", "0.2", "--device", "cpu", *few]) == 0
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
    found = report["engines"]["compact"]["256"]
    for name in ("motion", "source", "synthesis", "synthesis_two_sources", "upscale", "display"):
        assert 0 < found[name]["median_ms"] <= found[name]["p95_ms"]
    assert set(found["fps"]) == {"1", "2"} and min(found["fps"].values()) > 0
    printed = capsys.readouterr()
    assert "frames/s" in printed.out and "compact at 256 px" in printed.out
    assert "measuring compact at 256 px" in printed.err


def test_a_gpu_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["--device", "cuda"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "no CUDA device was found: use --device cpu" in said[0]


class OneByOne(ColourEngine):
    """An engine without batches, as the published ones are."""


def test_engines_without_weights_are_left_out_and_those_without_batches_draw_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(name: str, device: str, size: int) -> Engine:
        if name == "adasr":
            raise EngineError("the weights of adasr are not on this machine")
        return OneByOne(name, size)

    monkeypatch.setattr(engine_speed, "load_engine", load)
    monkeypatch.setattr(engine_speed, "load_upscaler", lambda *_: Bicubic())
    figures = engine_figures("cpu", ["vox256", "adasr"], [256], [1, 8], Budget(2, 1.0))
    assert figures["left_out"] == {"adasr at 256 px": "the weights of adasr are not on this machine"}
    assert list(figures["vox256"]["256"]["fps"]) == ["1"]
    assert "left out: adasr at 256 px: the weights" in engine_table(figures)


@pytest.mark.parametrize("openvino", [False, True])
@pytest.mark.parametrize("bf16", [False, True])
def test_every_way_to_draw_that_a_machine_has_is_measured(
    openvino: bool, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_engine, "_version", lambda package: "2026.4" if openvino else None)
    monkeypatch.setattr(precision, "_cpu_multiplies_bf16", lambda: bf16)
    more = ["compact, openvino"] * openvino + ["compact, bf16"] * bf16
    assert list(variants("compact", "cpu")) == ["compact", *more]
    assert variants("vox256", "cpu") == {"vox256": {}}
    assert variants("compact", "cuda") == {"compact": {}}


def test_runs_stop_when_their_time_is_over() -> None:
    runs_made: list[int] = []
    assert len(runs(lambda: runs_made.append(1), Budget(5, 60.0))) == 5
    assert len(runs_made) == 6
    assert len(runs(lambda: None, Budget(5, 0.0))) == 1


def test_timing_counts_runs_and_leaves_the_first_out() -> None:
    runs: list[int] = []
    stage = timed(lambda: runs.append(1), repeats=4, frames=5)
    assert len(runs) == 5
    assert set(stage) == {"median_ms", "p95_ms"}
