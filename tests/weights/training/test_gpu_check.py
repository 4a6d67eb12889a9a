from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from weights.training import gpu_check
from weights.training.pieces import write_pieces

EMBEDDED = gpu_check._EMBEDDED


def test_pictures_are_compared() -> None:
    a = np.full((4, 4, 3), 9, np.uint8)
    assert gpu_check.apart([a, a], [a, a]) == {"worst_psnr": 100.0, "largest": 0}
    b = a.copy()
    b[0, 0, 0] = 0
    found = gpu_check.apart([a, a], [a, b])
    assert found["largest"] == 9
    assert found["worst_psnr"] == pytest.approx(10 * np.log10(255**2 * 48 / 81), abs=0.01)


def test_the_weights_checked_are_those_of_the_lease(tmp_path: Path) -> None:
    motion = {f"motion.{k}": v for k, v in load_file(EMBEDDED / "compact_motion.safetensors").items()}
    generator = load_file(EMBEDDED / "compact_generator.safetensors")
    changed = {k: v + 1 for k, v in generator.items()}
    write_pieces(tmp_path, "compact", motion | changed, "minute 1")
    into = tmp_path / "files"
    into.mkdir()
    files = gpu_check.trained_files(tmp_path, into)
    assert all(torch.equal(v, changed[k]) for k, v in load_file(files["compact"][1]).items())
    assert files["standard"][0] == files["compact"][0]
    assert gpu_check.trained_files(None, into)["compact"][1].parent == EMBEDDED


def test_the_check_runs_in_small_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    files = gpu_check.trained_files(None, tmp_path)
    found = gpu_check.check({"compact": files["compact"]}, gpu_check.smooth_pictures(2), "cpu", gpu_check.SMALL)
    json.dumps(found)
    assert "no GPU" in found["device"]
    assert found["parity"]["compact 256"]["one source"]["worst_psnr"] == 100
    assert found["parity"]["compact 256"]["keypoints"] == 0
    assert found["graphs"]["compact 256"]["largest"] == 0
    for figures in (found["engines"]["compact 256"], found["player"]["compact 256"]):
        assert figures["1"]["ms"] > 0
        assert figures["1"]["frames_per_s"] > 0
    assert "vox256" in found["left_out"]
