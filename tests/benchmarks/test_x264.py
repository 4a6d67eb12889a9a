"""x264 as the bandwidth benchmark uses it."""

from __future__ import annotations

import numpy as np

from benchmarks import x264
from benchmarks.metrics import luma, psnr
from shared.models.engine import Picture


def test_one_key_frame_and_a_picture_for_every_frame(person: list[Picture]) -> None:
    coded = x264.code(person, 25, 23)
    assert len(coded.sizes) == len(coded.pictures) == len(person)
    assert coded.sizes[0] > 5 * max(coded.sizes[1:])  # all-intra would make them alike
    assert np.mean([psnr(luma(a), luma(b)) for a, b in zip(person, coded.pictures, strict=True)]) > 34


def test_the_floor_costs_what_was_measured(person: list[Picture]) -> None:
    coded = x264.code(person, 25, x264.FLOOR_CRF)
    assert coded.payload_bytes * 8 / 2 < 10_000  # bit/s; 5.2 to 5.6 kbit/s on ten-second clips
    assert coded.wire_bytes == coded.payload_bytes + len(person) * x264.RTP_OVERHEAD


def test_large_frames_take_several_packets() -> None:
    coded = x264.Coded([1100, 1101, 10], [])
    assert coded.wire_bytes == 2211 + 4 * x264.RTP_OVERHEAD
