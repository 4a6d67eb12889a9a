from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from weights.training.pieces import ages, main, read_pieces, write_pieces


def test_pieces_are_small_and_come_together_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = torch.Generator().manual_seed(0)
    weights = {f"layer.{n}": torch.randn(50, n + 1, generator=random) for n in range(30)}
    paths = write_pieces(tmp_path, "compact", weights, "minute 1", largest=10_000)
    assert len(paths) > 3
    assert all(path.stat().st_size <= 10_000 for path in paths)
    write_pieces(tmp_path, "standard", {"x": torch.ones(3)}, "minute 1")
    joined = read_pieces(tmp_path, "compact")
    assert {k: v.float() for k, v in joined.items()}.keys() == weights.keys()
    assert all(torch.equal(joined[k], v.half()) for k, v in weights.items())

    assert main([str(tmp_path), "--out", str(tmp_path / "joined")]) == 0
    assert load_file(tmp_path / "joined").keys() == weights.keys()
    few = write_pieces(tmp_path, "compact", {k: weights[k] for k in list(weights)[:2]}, "minute 2", largest=10_000)
    assert sorted(tmp_path.glob("compact-*")) == sorted(few)
    assert not list(tmp_path.glob(".*"))


def test_what_is_odd_about_pieces_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_pieces(tmp_path, "compact") == {}
    assert main([str(tmp_path), "--out", str(tmp_path / "joined")]) == 1
    assert "no pieces" in capsys.readouterr().err
    old = write_pieces(tmp_path, "compact", {"a": torch.ones(300), "b": torch.ones(300)}, "minute 1", largest=900)
    kept = old[1].read_bytes()
    write_pieces(tmp_path, "compact", {"a": torch.ones(300), "b": torch.ones(300)}, "minute 2", largest=900)
    old[1].write_bytes(kept)  # cut off between the two
    assert ages(tmp_path, "compact") == {"minute 1", "minute 2"}
    assert main([str(tmp_path), "--out", str(tmp_path / "joined")]) == 0
    assert "different minutes" in capsys.readouterr().err
    old[0].write_bytes(b"half")
    with pytest.raises(ValueError, match=r"compact-1\.safetensors is damaged"):
        read_pieces(tmp_path, "compact")
