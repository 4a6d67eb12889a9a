from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from call_examples import write_clip

from benchmarks.facenhance import main, parse
from benchmarks.facenhance_figures import Eye, figures, frechet
from shared.models.engine import Picture
from shared.models.facenhance.enhancer import write_network
from shared.models.facenhance.network import FacEnhanceNetwork, NetworkSettings


def features(shift: float, spread: float) -> np.ndarray:
    return np.random.default_rng(0).normal(shift, spread, (4000, 3))


def test_the_distance_is_that_of_gaussians() -> None:
    assert frechet(features(0, 1), features(0, 1)) == pytest.approx(0, abs=1e-6)
    assert frechet(features(0, 1), features(2, 1)) == pytest.approx(12, rel=0.02)
    assert frechet(features(0, 1), features(0, 3)) == pytest.approx(12, rel=0.05)


def test_figures_tell_a_worse_video(person: list[Picture]) -> None:
    true, eye = [person[:8]], Eye()
    same = figures(true, true, eye)
    assert same["sharp"] == 1 and same["flicker"] == 1 and same["frechet"] == pytest.approx(0, abs=1e-3)
    noise = np.random.default_rng(0)
    worse = [[np.clip(each + noise.normal(0, 20, each.shape), 0, 255).astype(np.uint8) for each in true[0]]]
    found = figures(true, worse, eye)
    assert found["psnr"] < 30 and found["ms_ssim"] < 1 and found["flicker"] > 2 and found["frechet"] > same["frechet"]


def test_the_comparison_has_a_row_for_everything(
    person: list[Picture], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "a.mp4", person[:12])
    network = FacEnhanceNetwork(NetworkSettings(64, 8, (1, 2), 1, guided=True))
    write_network(tmp_path / "w.safetensors", network)
    arguments = (
        f"--dev {tmp_path} --weights {tmp_path / 'w.safetensors'} --frames 5 --steps 1 --sheet {tmp_path / 's.png'}"
    )
    assert main(arguments.split()) == 0
    table = capsys.readouterr().out
    for name in ("bicubic", "engine alone", "engine with the base layer", "FacEnhance, 1 step"):
        assert f"| {name} " in table
    assert (tmp_path / "s.png").stat().st_size > 1000


def test_the_ablation_has_a_row_for_every_variant(
    person: list[Picture], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "a.mp4", person[:12])
    arguments = f"--dev {tmp_path} --clips {tmp_path} --ablation {tmp_path / 'out'} --size 32 --width 8 --frames 4"
    assert main([*arguments.split(), "--steps", "1", "--minutes", "0.002"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(lines) == 1 + 1 + 1 + 5


def test_an_ablation_needs_clips() -> None:
    with pytest.raises(SystemExit):
        parse(["--dev", "d", "--ablation", "a"])
