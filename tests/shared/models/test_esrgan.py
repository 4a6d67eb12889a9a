from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from shared.models.engine import EngineError
from shared.models.esrgan import Esrgan, RRDBNet, resampled
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


@pytest.mark.parametrize("dimensions", [(1, 4, 2), (2, 6, 3)])
def test_the_file_says_how_large_the_network_is(dimensions: tuple[int, int, int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = RRDBNet(*dimensions).eval()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    with torch.inference_mode():
        out = network(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0)
    expected = (out * 255).clamp(0, 255).round().to(torch.uint8).numpy()
    drawn = Esrgan(tmp_path / "w.safetensors").upscale(picture, 64)
    assert np.abs(drawn.astype(int) - expected).max() <= 1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Esrgan:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(RRDBNet(1, 4, 2).state_dict(), path)
    return Esrgan(path)


def test_any_size_can_be_asked_for(tiny: Esrgan) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for size in (24, 32, 64, 100):
        out = tiny.upscale(picture, size)
        assert out.shape == (size, size, 3)
        assert out.dtype == np.uint8


def test_half_as_large_is_the_mean_of_four(tiny: Esrgan) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    large = tiny.upscale(picture, 64).astype(float)
    small = tiny.upscale(picture, 32)
    assert np.abs(small - large.reshape(32, 2, 32, 2, 3).mean((1, 3))).max() <= 0.5


def test_a_picture_that_is_large_enough_does_not_pass_the_network(tiny: Esrgan) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    assert (tiny.upscale(picture, 64) == picture).all()
    assert (tiny.upscale(picture, 32) == resampled(picture, 32)).all()


def test_resampling_keeps_what_a_picture_shows() -> None:
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    assert resampled(ramp, 64) is ramp
    assert np.abs(resampled(ramp, 256)[::4, 2::4].astype(int) - ramp).mean() < 2
    assert np.abs(resampled(ramp, 32)[0, :, 0] - ramp.astype(float)[0, :, 0].reshape(32, 2).mean(1)).max() <= 0.5


def test_a_network_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    weights = RRDBNet(2, 4, 2).state_dict()
    del weights["RRDB_trunk.1.RDB2.conv3.bias"]
    save_file(weights, tmp_path / "part.safetensors")
    with pytest.raises(
        EngineError, match=r"another network: 1 tensors differ, such as RRDB_trunk\.1\.RDB2\.conv3\.bias"
    ):
        Esrgan(tmp_path / "part.safetensors")
    weights = RRDBNet(2, 4, 2).state_dict()
    for odd in (torch.tensor(1.0), torch.zeros(0, 3, 3, 3)):
        weights["conv_first.weight"] = odd
        save_file(weights, tmp_path / "odd.safetensors")
        with pytest.raises(EngineError, match="another network"):
            Esrgan(tmp_path / "odd.safetensors")


def test_files_that_are_no_upscaler_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="weights of another network"):
        Esrgan(locate("compact-motion"))
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(EngineError, match="not a readable safetensors file"):
        Esrgan(tmp_path / "text.safetensors")
