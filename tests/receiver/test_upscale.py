from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from call_examples import psnr
from upscaler_examples import write_esrgan, write_saved_model

from receiver import upscale
from receiver.__main__ import parse
from receiver.upscale import DEFAULT_UPSCALER, UPSCALERS, Upscaler, load_upscaler
from shared.codec.picture import decode_picture, encode_picture
from shared.models.engine import EngineError, Picture
from shared.models.registry import locate
from shared.resampling import resampled


@pytest.fixture(scope="module", params=UPSCALERS)
def upscaler(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    """Each of them; ESRGAN and TensorFlow Hub's with weights that repeat pixels."""
    name, weights = str(request.param), None
    if name == "esrgan":
        weights = write_esrgan(tmp_path_factory.mktemp("weights") / "w.safetensors")
    if name == "tfhub":
        pytest.importorskip("tensorflow_hub", reason="TensorFlow is not installed: pip install 'pinhole[tfhub]'")
        weights = write_saved_model(tmp_path_factory.mktemp("hub") / "model")
    return load_upscaler(name, weights)


SIDES = pytest.mark.parametrize(("side", "size"), [(64, 256), (96, 256), (128, 512)])


@pytest.mark.parametrize("side", [64, 128, 256, 512])
def test_sources_of_every_size_come_to_the_size_asked_for(upscaler: Upscaler, side: int, person: list[Picture]) -> None:
    out = upscaler.upscale(resampled(person[0], side), 256)
    assert out.shape == (256, 256, 3)
    assert out.dtype == np.uint8


def test_a_picture_that_is_large_enough_passes_through(upscaler: Upscaler, person: list[Picture]) -> None:
    assert (upscaler.upscale(person[0], 256) == person[0]).all()
    assert (upscaler.upscale(person[0], 128) == resampled(person[0], 128)).all()


@SIDES
def test_one_colour_stays_that_colour(upscaler: Upscaler, side: int, size: int) -> None:
    colour = np.array([90, 120, 160], np.uint8)
    off = np.abs(upscaler.upscale(np.tile(colour, (side, side, 1)), size).astype(int) - colour)
    assert off.mean() < 1
    assert off.max() <= 8


@SIDES
def test_a_gradient_stays_a_gradient(upscaler: Upscaler, side: int, size: int) -> None:
    ramp = np.linspace(40, 215, side).round().astype(np.uint8)
    across, down = np.meshgrid(ramp, ramp)
    picture = np.stack([across, down, np.full_like(across, 100)], -1)
    out = upscaler.upscale(picture, size).astype(int)
    assert np.abs(out - resampled(picture, size)).mean() < 2
    assert (np.diff(out[::8].mean(1)[:, 1]) > 0).all()
    assert (np.diff(out[:, ::8].mean(0)[:, 0]) > 0).all()


@SIDES
def test_a_photograph_stays_itself(upscaler: Upscaler, side: int, size: int, person: list[Picture]) -> None:
    small = resampled(person[0], side)
    assert np.abs(resampled(upscaler.upscale(small, size), side).astype(int) - small).mean() < 4


@pytest.mark.parametrize("side", [64, 128])
def test_ours_comes_nearer_to_the_truth_than_bicubic(side: int, person: list[Picture]) -> None:
    codec, data = encode_picture(resampled(person[0], side))
    small = decode_picture(codec, data, side, side)
    ours, bicubic = (load_upscaler(name).upscale(small, 256) for name in ("compact", "bicubic"))
    assert psnr(ours, person[0]) > psnr(bicubic, person[0]) + 0.3


def test_esrgan_is_what_the_file_holds(person: list[Picture]) -> None:
    small = resampled(person[0], 16)
    ours = load_upscaler("esrgan", locate("compact-upscaler")).upscale(small, 64)
    assert (ours == load_upscaler("compact").upscale(small, 64)).all()


def test_esrgan_takes_what_was_fetched(tmp_path: Path, person: list[Picture], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscale, "stored", lambda name: tmp_path / name)
    with pytest.raises(EngineError, match=r"weights fetch esrgan, .*weights convert FILE .*--upscaler-weights FILE"):
        load_upscaler("esrgan")
    write_esrgan(tmp_path / "esrgan.safetensors")
    small = resampled(person[0], 16)
    assert (load_upscaler("esrgan").upscale(small, 64) == small.repeat(4, 0).repeat(4, 1)).all()


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("nearest", None, "no upscaler 'nearest'; known: compact, bicubic, esrgan, tfhub"),
        ("esrgan", Path("nowhere.safetensors"), "not a readable safetensors file"),
        ("tfhub", Path("nowhere"), "is no SavedModel folder"),
        ("compact", Path("w.safetensors"), "takes no weights: leave out --upscaler-weights"),
        ("bicubic", Path("w.safetensors"), "takes no weights"),
    ],
)
def test_what_cannot_be_had_is_refused(name: str, weights: Path | None, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        load_upscaler(name, weights)


def test_ours_is_the_default() -> None:
    assert DEFAULT_UPSCALER == "compact"
    assert parse([]).receiving.upscaler == "compact"
    for name in UPSCALERS:
        assert parse(["--upscaler", name]).receiving.upscaler == name
