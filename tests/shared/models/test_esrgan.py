from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from parity.fill import filled
from safetensors.torch import save_file

from sender.sample import portrait
from shared.models import esrgan
from shared.models.engine import EngineError
from shared.models.esrgan import Esrgan, RRDBNet, reach
from shared.models.registry import locate
from shared.resampling import resampled

PARITY = Path(__file__).parent / "parity"


@pytest.fixture(scope="module")
def published() -> RRDBNet:
    """The published network with the deterministic weights of the parity data."""
    network = RRDBNet().eval().requires_grad_(False)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict({name: torch.from_numpy(value) for name, value in filled(shapes).items()})
    return network


@pytest.fixture(scope="module")
def published_file(published: RRDBNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "published.safetensors"
    save_file(published.state_dict(), path)
    return path


def test_parity_of_the_network(published: RRDBNet) -> None:
    reference = np.load(PARITY / "esrgan_rrdb_x4.npz")
    out = published(torch.from_numpy(reference["lowres"])).numpy()
    assert out.shape == reference["output"].shape
    assert np.abs(out - reference["output"]).max() < 1e-4 * np.abs(reference["output"]).max()


def test_parity_of_the_upscaler(published_file: Path) -> None:
    reference = np.load(PARITY / "esrgan_rrdb_x4.npz")
    out = Esrgan(published_file).enlarged(torch.from_numpy(reference["lowres"])).numpy()
    assert np.abs(out - reference["output"]).max() < 1e-4 * np.abs(reference["output"]).max()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_parity_in_half_precision_on_a_gpu(published_file: Path) -> None:
    reference = np.load(PARITY / "esrgan_rrdb_x4.npz")
    out = Esrgan(published_file, "cuda").enlarged(torch.from_numpy(reference["lowres"]).half().cuda())
    assert out.dtype == torch.float16
    assert np.abs(out.float().cpu().numpy() - reference["output"]).max() < 1e-2 * np.abs(reference["output"]).max()


def test_half_precision_enlarges_alike() -> None:
    small = np.ascontiguousarray(portrait()[60:76, 92:108])
    single, narrow = (Esrgan(locate("compact-upscaler"), half=half).upscale(small, 64) for half in (False, True))
    assert 0 < np.abs(single.astype(int) - narrow).max() <= 2


def strip(length: int, height: int) -> torch.Tensor:
    """(1, 3, height, length) of a photograph, in 0..1."""
    pixels = np.ascontiguousarray(portrait()[60 : 60 + height, :length])
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def test_windows_do_not_show_with_the_embedded_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    upscaler, picture = Esrgan(locate("compact-upscaler")), strip(188, 24)
    with torch.inference_mode():
        whole = upscaler.enlarged(picture)
        monkeypatch.setattr(esrgan, "WINDOW", 96)
        in_windows = upscaler.enlarged(picture)
        upscaler._margin = 2
        seams = upscaler.enlarged(picture)
    assert (in_windows - whole).abs().max() < 1e-5
    assert (seams - whole).abs().max() > 1e-3


@pytest.mark.slow
def test_windows_do_not_show_with_23_blocks(published_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upscaler, picture = Esrgan(published_file), strip(160, 24)
    with torch.inference_mode():
        whole = upscaler.enlarged(picture)
        monkeypatch.setattr(esrgan, "WINDOW", 96)  # parts meet 32 px from the edges of their windows
        in_windows = upscaler.enlarged(picture)
    assert 0 < (in_windows - whole).abs().max() < 1e-5 * whole.abs().max()


@pytest.mark.parametrize("blocks", [1, 2])
def test_how_far_a_pixel_sees(blocks: int) -> None:
    far = reach(blocks)
    network, side = RRDBNet(blocks, 2, 1).double(), 2 * far + 9
    with torch.no_grad():  # all paths count, none is too faint
        for parameter in network.parameters():
            parameter.fill_(0.5)
    picture = torch.zeros(1, 3, side, 1, dtype=torch.float64, requires_grad=True)
    seen = set()
    for row in range(4 * (far + 4), 4 * (far + 4) + 4):
        (gradient,) = torch.autograd.grad(network(picture)[0, 0, row, 0], picture)
        seen |= {int(place) - (far + 4) for place in gradient[0, 0, :, 0].nonzero()}
    assert (min(seen), max(seen)) == (-far, far)


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


def test_files_of_other_layouts_give_the_same_picture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = RRDBNet(1, 4, 2).state_dict()
    save_file(state, tmp_path / "ours.safetensors")
    names = {"RRDB_trunk": "body", ".RDB": ".rdb", "trunk_conv": "conv_body", "upconv": "conv_up", "HRconv": "conv_hr"}
    for ours, theirs in names.items():
        state = {name.replace(ours, theirs): value for name, value in state.items()}
    save_file(state, tmp_path / "theirs.safetensors")
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    drawn = [Esrgan(tmp_path / f"{name}.safetensors").upscale(picture, 64) for name in ("ours", "theirs")]
    assert (drawn[0] == drawn[1]).all()


def test_a_network_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    weights = RRDBNet(2, 4, 2).state_dict()
    del weights["RRDB_trunk.1.RDB2.conv3.bias"]
    save_file(weights, tmp_path / "part.safetensors")
    with pytest.raises(
        EngineError,
        match=r"part\.safetensors cannot be used .*1 tensors differ, such as RRDB_trunk\.1\.RDB2\.conv3\.bias",
    ):
        Esrgan(tmp_path / "part.safetensors")


def test_files_that_are_no_upscaler_are_refused(tmp_path: Path) -> None:
    weights = RRDBNet(2, 4, 2).state_dict()
    weights["conv_last.bias"][0] = float("nan")
    save_file(weights, tmp_path / "nan.safetensors")
    with pytest.raises(EngineError, match=r"NaN or infinite\) in 1 of \d+ tensors, such as conv_last\.bias"):
        Esrgan(tmp_path / "nan.safetensors")
    with pytest.raises(EngineError, match="weights of another network than ESRGAN"):
        Esrgan(locate("compact-motion"))
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(EngineError, match=r"not a readable safetensors file .*python -m weights convert"):
        Esrgan(tmp_path / "text.safetensors")
