"""Video codecs as the bandwidth benchmark uses them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.codecs import CODECS, VARIANTS, WHOLE, CodecError, Coded, Variant, code
from benchmarks.metrics import luma, psnr
from shared.models.engine import Picture


def mean_psnr(person: list[Picture], coded: Coded) -> float:
    return float(np.mean([psnr(luma(a), luma(b)) for a, b in zip(person, coded.pictures, strict=True)]))


@pytest.mark.parametrize("name", CODECS)
def test_one_key_frame_a_picture_for_every_frame_and_a_curve_that_rises(name: str, person: list[Picture]) -> None:
    codec = CODECS[name]
    ladder = codec.ladders[256]
    floor, best = (code(codec, person, 25, quantiser) for quantiser in (ladder[0], ladder[-1]))
    assert len(floor.sizes) == len(person)
    assert best.sizes[0] > 3 * np.median(best.sizes[1:])  # all-intra would make them alike
    assert 8 * sum(floor.sizes) / 2 < 20_000  # bit/s
    assert sum(best.sizes) > 3 * sum(floor.sizes)
    assert mean_psnr(person, best) > mean_psnr(person, floor) + 5


@pytest.mark.parametrize("name", CODECS)
def test_smaller_pictures_cost_less_and_are_shown_as_large(name: str, person: list[Picture]) -> None:
    codec = CODECS[name]
    floor = {size: code(codec, person[:10], 25, codec.ladders[256][0], Variant(size)) for size in (256, 128)}
    assert sum(floor[128].sizes) < sum(floor[256].sizes)
    assert {picture.shape for picture in floor[128].pictures} == {(256, 256, 3)}
    assert all(list(codec.ladder(variant)) == sorted(codec.ladder(variant), reverse=True) for variant in VARIANTS)
    assert len(codec.ladder(WHOLE)) == 3
    assert len(codec.ladder(Variant(128, 2))) == 4


def test_the_floor_of_x264_costs_what_was_measured(person: list[Picture]) -> None:
    coded = code(CODECS["x264"], person, 25, 51)
    assert 3_000 < 8 * sum(coded.sizes) / 2 < 10_000  # bit/s; 5.2 to 5.6 kbit/s on ten-second clips


def test_half_rate_shows_every_picture_twice(person: list[Picture]) -> None:
    coded = code(CODECS["x264"], person[:5], 25, 23, Variant(every=2))
    assert len(coded.sizes) == 3
    assert len(coded.pictures) == 5
    assert np.array_equal(coded.pictures[0], coded.pictures[1])
    assert not np.array_equal(coded.pictures[1], coded.pictures[2])


def test_what_a_call_does_not_send_is_not_counted() -> None:
    sps, sei, slice_ = b"\x67abc", b"\x06x264 - core 164", b"\x65picture"
    stream = b"".join(b"\0\0\0\1" + unit for unit in (sps, sei, slice_))
    assert CODECS["x264"].strip(stream) == sps + slice_
    assert CODECS["x264"].strip(b"\0\0\1" + sei + b"\0\0\1" + slice_) == slice_
    assert CODECS["x265"].strip(b"\0\0\0\1\x40\1vps\0\0\1\x4e\1sei\0\0\1\x26\1idr") == b"\x40\1vps\x26\1idr"
    assert CODECS["svt_av1"].strip(b"\x12\0\x32\1f") == b"\x32\1f"


def test_a_codec_that_is_not_there_is_named(person: list[Picture]) -> None:
    missing = replace(CODECS["vp9"], encoder="libnone")
    with pytest.raises(CodecError, match="VP9 real time cannot code at quantiser 63"):
        code(missing, person[:2], 25, 63)
