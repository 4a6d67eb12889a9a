from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from receiver.upscale import load_upscaler
from shared.models.engine import EngineError, Picture


def test_bicubic_gives_the_size_asked_for(person: list[Picture]) -> None:
    upscaler = load_upscaler("bicubic")
    for side in (64, 128, 256, 512):
        out = upscaler.upscale(np.ascontiguousarray(person[0][:side, :side]), 256)
        assert out.shape == (256, 256, 3)
        assert out.dtype == np.uint8


def test_bicubic_leaves_a_picture_of_the_right_size_alone(person: list[Picture]) -> None:
    assert (load_upscaler("bicubic").upscale(person[0], 256) == person[0]).all()


def test_bicubic_keeps_what_a_small_picture_shows() -> None:
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    large = load_upscaler("bicubic").upscale(ramp, 256)
    assert np.abs(large[::4, 2::4].astype(int) - ramp).mean() < 2


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("nearest", None, "no upscaler 'nearest'; known: bicubic, esrgan"),
        ("esrgan", None, "needs --upscaler-weights"),
        ("esrgan", Path("nowhere.safetensors"), "not a readable safetensors file"),
    ],
)
def test_what_cannot_be_had_is_refused(name: str, weights: Path | None, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        load_upscaler(name, weights)
