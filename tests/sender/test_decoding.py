from __future__ import annotations

import logging

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc

from sender import decoding
from sender.decoding import ScreenColours, to_screen

PQ, HLG, SDR = int(ColorTrc.SMPTE2084), int(ColorTrc.ARIB_STD_B67), int(ColorTrc.BT2020_10)


def pq(nits: float) -> float:
    """The signal for a light (SMPTE ST 2084, the other way round)."""
    power = (nits / 10_000) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def frame(luma: float, curve: int, size: int = 64) -> av.VideoFrame:
    """A grey one of 10 bits, of limited range, in BT.2020; `luma` 0..1."""
    made = av.VideoFrame(size, size, "yuv420p10le")
    for plane, level in zip(made.planes, (round(64 + 876 * luma), 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, level, "<u2").tobytes())
    made.colorspace, made.color_range = 9, ColorRange.MPEG  # BT.2020
    made.color_trc, made.color_primaries, made.pts = curve, ColorPrimaries.BT2020, 0
    return made


@pytest.mark.parametrize("nits", [1, 5, 20, 50, 100, 150])
def test_light_below_white_is_as_a_screen_of_bt709_shows_it(nits: float) -> None:
    rgb = ScreenColours()(frame(pq(nits), PQ))
    assert np.ptp(rgb) == 0
    assert abs(int(rgb[0, 0, 0]) - 255 * (nits / 203) ** (1 / 2.4)) < 2.5


def test_what_is_brighter_is_pressed_and_never_dark_again() -> None:
    levels = [int(ScreenColours()(frame(pq(nits), PQ))[0, 0, 0]) for nits in (100, 203, 400, 1000, 4000)]
    assert levels == sorted(levels)
    assert 235 < levels[1] < 250 < levels[2] < levels[3] == levels[4] == 255


def test_hlg_has_paper_white_at_three_quarters() -> None:
    levels = [int(ScreenColours()(frame(signal, HLG))[0, 0, 0]) for signal in (0, 0.25, 0.5, 0.75, 1)]
    assert levels == sorted(levels)
    assert levels[0] < 3 and 235 < levels[3] < 250 and levels[4] >= 254


def test_wide_colours_keep_their_grey_and_gain_their_red() -> None:
    grey = to_screen(np.full((1, 3), 0.5), SDR)[0]
    assert grey == pytest.approx([0.5, 0.5, 0.5], abs=1e-3)
    red = to_screen(np.array([[0.6, 0.3, 0.3]]), SDR)[0]
    assert red[0] > 0.65 and red[1] < 0.3


def test_another_size_and_curve_in_one_film() -> None:
    colours = ScreenColours()
    for size, curve in ((64, PQ), (32, PQ), (32, HLG), (32, SDR)):
        assert colours(frame(0.5, curve, size)).shape == (size, size, 3)


def test_where_it_cannot_be_done_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def without(*_: object) -> None:
        raise ValueError("no such filter")

    monkeypatch.setattr(decoding, "_graph", without)
    colours = ScreenColours()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert colours(frame(0.5, PQ)).shape == (64, 64, 3)
    assert caplog.text.count("HDR") == 1
