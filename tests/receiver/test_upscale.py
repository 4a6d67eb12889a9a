from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from call_examples import psnr
from safetensors.torch import save_file

from receiver.__main__ import parse
from receiver.upscale import DEFAULT_UPSCALER, UPSCALERS, load_upscaler
from shared.codec.picture import decode_picture, encode_picture
from shared.models.engine import EngineError, Picture
from shared.models.esrgan import RRDBNet, resampled
from shared.models.registry import locate


@pytest.mark.parametrize("name", ["compact", "bicubic"])
def test_sources_of_every_size_come_to_the_size_asked_for(name: str, person: list[Picture]) -> None:
    upscaler = load_upscaler(name)
    for side in (64, 128, 256, 512):
        out = upscaler.upscale(resampled(person[0], side), 256)
        assert out.shape == (256, 256, 3)
        assert out.dtype == np.uint8


@pytest.mark.parametrize("name", ["compact", "bicubic"])
def test_a_picture_of_the_right_size_is_left_alone(name: str, person: list[Picture]) -> None:
    assert (load_upscaler(name).upscale(person[0], 256) == person[0]).all()


@pytest.mark.parametrize("side", [64, 128])
def test_ours_comes_nearer_to_the_truth_than_bicubic(side: int, person: list[Picture]) -> None:
    codec, data = encode_picture(resampled(person[0], side))
    small = decode_picture(codec, data, side, side)
    ours, bicubic = (load_upscaler(name).upscale(small, 256) for name in ("compact", "bicubic"))
    assert psnr(ours, person[0]) > psnr(bicubic, person[0]) + 0.3


def test_esrgan_is_what_the_file_holds(tmp_path: Path, person: list[Picture]) -> None:
    save_file(RRDBNet(1, 4, 2).state_dict(), tmp_path / "w.safetensors")
    small = resampled(person[0], 16)
    assert load_upscaler("esrgan", tmp_path / "w.safetensors").upscale(small, 64).shape == (64, 64, 3)
    ours = load_upscaler("esrgan", locate("compact-upscaler")).upscale(small, 64)
    assert (ours == load_upscaler("compact").upscale(small, 64)).all()


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("nearest", None, "no upscaler 'nearest'; known: compact, bicubic, esrgan"),
        ("esrgan", None, "needs --upscaler-weights"),
        ("esrgan", Path("nowhere.safetensors"), "not a readable safetensors file"),
        ("compact", Path("w.safetensors"), "takes no weights: leave out --upscaler-weights"),
        ("bicubic", Path("w.safetensors"), "takes no weights"),
    ],
)
def test_what_cannot_be_had_is_refused(name: str, weights: Path | None, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        load_upscaler(name, weights)


def test_ours_is_the_default() -> None:
    assert DEFAULT_UPSCALER == "compact"
    assert parse([]).upscaler == "compact"
    for name in UPSCALERS:
        assert parse(["--upscaler", name]).upscaler == name
