"""A lease in small: two calls on one machine and a third on another, by a clock that goes on a second at each look."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_training_needs_little import ABSENT

from shared.models.compact import CompactNetwork
from weights.training import lease, lease_state, pack, unpack
from weights.training.lease_plan import Leg
from weights.training.packed_clips import packed_clips
from weights.training.pieces import LARGEST, read_pieces
from weights.training.stopping import sole_trainer

PROGRAM = f"""
import itertools, sys
sys.modules.update(dict.fromkeys({ABSENT}))
import torch
torch.set_num_threads(1)
from weights.training.lease import main
seconds = itertools.count()
sys.exit(main(sys.argv[1:], clock=lambda: next(seconds), began=0))
"""
PLAN = "motion=1,base=1,standard:256=1"


@pytest.fixture(scope="module")
def packs(folder: Path, wire_cache: Path, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs")
    given = ["--clips", folder, "--dev", folder, "--wire", wire_cache, "--bases", base_folder, "--out", out]
    assert pack.main([*map(str, given), "--size", "128", "--limit-mib", "2", "--jobs", "1"]) == 0
    return out


def call(packs: Path, state: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    given = ["--data", packs, "--state", state, "--out", out, "--plan", PLAN, "--total", "0.9", *more]
    fixed = ["--device", "cpu", "--batch", "1", "--every", "10", "--jobs", "1", "--no-check"]
    program = [sys.executable, "-c", PROGRAM, *map(str, given), *fixed]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def seconds(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "lease.json").read_text())["seconds"]
    return found


def test_two_calls_and_a_third_elsewhere(packs: Path, tmp_path: Path) -> None:
    state, out, second, third = (tmp_path / name for name in ("state", "out", "second", "third"))
    done = call(packs, state, out, "--minutes", "0.6")
    assert done.returncode == 0, done.stderr
    first = seconds(out)
    assert first["motion"] >= 18
    assert "standard:256" not in first
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert any("dev_points_px" in line for line in log)
    assert any("samples_per_s" in line for line in log)

    done = call(packs, state, second, "--minutes", "2", "--resume", str(out))
    assert done.returncode == 0, done.stderr
    assert seconds(second).keys() == {"motion", "base", "standard:256"}
    assert seconds(second)["motion"] == first["motion"], "what is finished is not trained again"
    assert seconds(second)["base"] > first["base"]
    files = list(second.iterdir())
    assert {path.name for path in files} == {
        "compact-1.safetensors", "standard-1.safetensors", "standard-2.safetensors", "log.jsonl", "sheet.jpg",
        "lease.json",
    }  # fmt: skip
    assert all(path.stat().st_size <= LARGEST for path in files)
    assert len((second / "log.jsonl").read_text().splitlines()) > len(log)
    compact = read_pieces(second, "compact")
    known = CompactNetwork().load_state_dict({k: v.float() for k, v in compact.items()}, strict=False)
    assert not known.missing_keys
    assert not any(key.startswith(("motion.", "mesh.")) for key in read_pieces(second, "standard"))

    # another machine has the pieces alone; its call has hardly time to begin
    done = call(packs, tmp_path / "fresh", third, "--minutes", "0.01", "--resume", str(second))
    assert done.returncode == 0, done.stderr
    assert seconds(third) == seconds(second)
    again = read_pieces(third, "compact")
    assert all(torch.equal(again[key], compact[key]) for key in compact)


def test_a_second_lease_on_the_same_machine_is_refused(packs: Path, tmp_path: Path) -> None:
    with sole_trainer(tmp_path / "state"):
        done = call(packs, tmp_path / "state", tmp_path / "out", "--minutes", "1")
    assert done.returncode == 1
    assert "another trainer" in done.stderr
    done = call(packs, tmp_path / "state", tmp_path / "out", "--minutes", "1", "--resume", str(tmp_path))
    assert done.returncode == 1
    assert "leave --resume out" in done.stderr


def test_a_signal_saves_and_ends(packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    out, now = tmp_path / "out", 0.0

    def clock() -> float:
        nonlocal now
        now += 1
        if now == 6:
            signal.raise_signal(signal.SIGTERM)
        return now

    given = ["--data", packs, "--state", tmp_path / "state", "--out", out, "--plan", "motion=60", "--total", "60"]
    more = ["--minutes", "60", "--device", "cpu", "--batch", "1", "--jobs", "1"]
    assert lease.main([*map(str, given), *more], clock, 0) == 0
    assert 0 < seconds(out)["motion"] < 10
    assert (out / "compact-1.safetensors").exists()
    assert not (out / "gpu_check.json").exists(), "who asks for an end does not wait for figures"


def test_unpacked_clips_are_those_that_were_packed(packs: Path, tmp_path: Path) -> None:
    clips = packed_clips(tmp_path, unpack.unpack(sorted(packs.glob("*.zip")), tmp_path, 1))
    assert clips.names == ["a", "b"]
    assert clips.wire is not None
    assert clips.bases is not None
    for row, (clip, place) in enumerate(zip(clips.wire.clip, clips.wire.frame, strict=True)):
        true = clips.frames[clips.starts[clip] + place].float()
        assert (clips.wire.frames[row].float() - true).abs().mean() < 12
    small = clips.bases["small"]
    for picture, frame in zip(small.pictures, small.frame, strict=True):
        assert (picture.float() - clips.frames[frame].float()).abs().mean() < 12


def test_better_weights_are_kept(tmp_path: Path) -> None:
    progress, leg = lease_state.Progress(tmp_path), Leg("compact", "256", 1)
    good = {"psnr": 23.0, "freeze": 20.0, "sharp": 1.0, "drawn_mouth": 0.8, "drawn_eyes": 0.8, "drawn_points_px": 1.5}
    soft = good | {"sharp": 0.6}
    assert lease_state.score(good, True) > lease_state.score(soft, True)
    assert lease_state.score(good | {"drawn_mouth": float("nan")}, True) < lease_state.score(good, True)
    assert lease_state.score({"mouth": 0.8, "points_px": 1}, False) > lease_state.score(
        {"mouth": 0.8, "points_px": 2}, False
    )
    assert progress.improved(leg, {}, 1.0)
    assert not progress.improved(leg, {}, 0.5)
    assert progress.improved(leg, {}, None)
    assert progress.improved(Leg("compact", "base", 1), {}, 0.5), "another leg has other losses"
