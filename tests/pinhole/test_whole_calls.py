from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from api_examples import PLAIN, colour_codec, yaw
from call_examples import ColourEngine, make_basis, picture, psnr

from pinhole import CallFileError, Codec, EncoderOptions, Incompatible, NoFaceError
from receiver.settings import ReceiverContext
from receiver.upscale import Bicubic
from sender.call import SenderSettings
from sender.call_recording import record_call
from sender.capture import open_source

YAWS = [float(n % 80 - 40) for n in range(60)]


def test_the_bytes_are_those_of_the_sender(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.pinhole"
    record_call(SenderSettings(None, str(clip), framing="none", seconds=0.6, device="cpu", out=out))
    with open_source(str(clip)) as capture:
        frames = [frame for stamp, frame in capture if stamp < 0.6]
    codec = Codec.load("compact", device="cpu")
    data = codec.compress(frames, 25, EncoderOptions(framing="none"))
    assert data == out.read_bytes()
    assert psnr(next(codec.decompress(data, base=False)).picture, frames[0]) > 24


def test_every_frame_comes_back_with_its_time() -> None:
    codec = colour_codec()
    frames = list(codec.decompress(codec.compress(map(picture, YAWS), 25, PLAIN)))
    assert [yaw(each.picture) for each in frames] == YAWS
    assert [round(each.time, 3) for each in frames] == [round(n / 25, 3) for n in range(60)]


def test_frames_are_drawn_when_they_are_asked_for() -> None:
    codec = colour_codec()
    frames = codec.decompress(codec.compress(map(picture, YAWS), 25, PLAIN))
    assert yaw(next(frames).picture) == YAWS[0]
    assert yaw(next(frames).picture) == YAWS[1]


def test_a_low_rate_keeps_its_time() -> None:
    codec = colour_codec()
    frames = list(codec.decompress(codec.compress(map(picture, YAWS[:6]), 1.0, PLAIN)))
    assert frames[-1].time == pytest.approx(5.0, abs=0.01)
    assert {yaw(each.picture) for each in frames} >= set(YAWS[:6])


def test_of_frames_that_are_not_square_the_centre_is_taken() -> None:
    codec = colour_codec()
    wide = np.hstack([picture(60.0, side=96)[:, :40], picture(5.0, side=96), picture(60.0, side=96)[:, :40]])
    frames = list(codec.decompress(codec.compress([wide] * 10, 25, PLAIN)))
    assert {yaw(each.picture) for each in frames} == {5.0}


def test_without_a_face_it_is_said_what_to_do() -> None:
    grey = [np.full((240, 320, 3), 90, np.uint8)] * 10
    with pytest.raises(NoFaceError, match=r"no face was seen in 0\.4 s"):
        colour_codec().compress(grey)
    with pytest.raises(NoFaceError):
        colour_codec().compress([], 25, PLAIN)


def test_a_frame_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="not list"):
        colour_codec().compress([[1, 2, 3]], 25, PLAIN)  # type: ignore[list-item]


def test_options_say_what_is_sent() -> None:
    codec = colour_codec()
    thin = EncoderOptions(profile="thin", refresh="first", framing="none")
    usual = EncoderOptions(profile="balanced", refresh="first", framing="none")
    still = [picture(0.0)] * 75
    assert len(codec.compress(still, 25, thin)) < len(codec.compress(still, 25, usual))


def test_a_base_layer_is_left_out_by_either_side() -> None:
    codec = colour_codec()
    data = codec.compress(map(picture, YAWS), 25, replace(PLAIN, base="auto"))
    assert len(data) > len(codec.compress(map(picture, YAWS), 25, PLAIN))
    assert len(list(codec.decompress(data, base=False))) == len(list(codec.decompress(data)))


def test_what_is_no_call_is_refused_at_once() -> None:
    with pytest.raises(CallFileError, match="not a Pinhole call"):
        colour_codec().decompress(b"GIF89a")


def test_a_call_that_breaks_off_is_good_up_to_there_and_a_damaged_one_is_refused() -> None:
    codec = colour_codec()
    data = codec.compress(map(picture, YAWS), 25, PLAIN)
    frames = [yaw(each.picture) for each in codec.decompress(data[: len(data) * 3 // 4])]
    assert 10 < len(frames) < 60
    assert frames == YAWS[: len(frames)]
    spoilt = bytearray(data)
    spoilt[len(data) // 2] ^= 255
    with pytest.raises(CallFileError, match="damaged after"):
        codec.decompress(bytes(spoilt))


def test_a_call_of_another_engine_is_refused() -> None:
    data = colour_codec().compress(map(picture, YAWS), 25, PLAIN)
    other = ColourEngine(name="vox256")
    with pytest.raises(Incompatible, match=r"Codec.load\('compact'\)"):
        Codec(ReceiverContext(other, make_basis(), Bicubic()), other).decompress(data)
