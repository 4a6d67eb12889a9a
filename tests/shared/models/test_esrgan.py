from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from shared.models.engine import EngineError
from shared.models.esrgan import Esrgan, RRDBNet
from shared.models.registry import locate

PARITY = Path(__file__).parents[3].parent / "shared" / "parity"
needs_parity = pytest.mark.skipif(
    not (PARITY / "esrgan_rrdb_x4.npz").exists(), reason="the parity data is not beside this repository"
)


def filled(network: RRDBNet) -> dict[str, torch.Tensor]:
    """The deterministic weights of the parity data for a network of these shapes."""
    spec = importlib.util.spec_from_file_location("parity_fill", PARITY / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    return {name: torch.from_numpy(value) for name, value in module.fill(shapes).items()}


@pytest.fixture(scope="module")
def published() -> RRDBNet:
    return RRDBNet().eval().requires_grad_(False)


@needs_parity
def test_parameters_have_the_published_names_and_shapes(published: RRDBNet) -> None:
    shapes = json.loads((PARITY / "esrgan_rrdb_x4_shapes.json").read_text())
    assert {name: list(value.shape) for name, value in published.state_dict().items()} == shapes


@needs_parity
def test_the_network_gives_the_reference_numbers(published: RRDBNet) -> None:
    published.load_state_dict(filled(published))
    reference = np.load(PARITY / "esrgan_rrdb_x4.npz")
    out = published(torch.from_numpy(reference["lowres"])).numpy()
    assert out.shape == reference["output"].shape
    assert np.abs(out - reference["output"]).max() < 1e-4 * np.abs(reference["output"]).max()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 12)])
def test_output_is_four_times_as_large(height: int, width: int) -> None:
    tiny = RRDBNet(blocks=1, channels=4, growth=2).eval()
    with torch.inference_mode():
        assert tiny(torch.rand(2, 3, height, width)).shape == (2, 3, 4 * height, 4 * width)


def test_a_file_of_weights_upscales_to_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.models.esrgan.RRDBNet", lambda: RRDBNet(1, 4, 2))
    tiny = RRDBNet(1, 4, 2)
    save_file(tiny.state_dict(), tmp_path / "tiny.safetensors")
    upscaler = Esrgan(tmp_path / "tiny.safetensors")
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for size in (32, 64, 100):
        out = upscaler.upscale(picture, size)
        assert out.shape == (size, size, 3)
        assert out.dtype == np.uint8


def test_weights_of_a_smaller_network_are_refused(tmp_path: Path) -> None:
    save_file(RRDBNet(blocks=1).state_dict(), tmp_path / "small.safetensors")
    with pytest.raises(EngineError, match="holds weights of another network"):
        Esrgan(tmp_path / "small.safetensors")


def test_files_that_are_no_upscaler_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="weights of another network"):
        Esrgan(locate("compact-motion"))
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(EngineError, match="not a readable safetensors file"):
        Esrgan(tmp_path / "text.safetensors")
