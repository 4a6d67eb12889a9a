"""Bytes against the interval between sources."""

from __future__ import annotations

import io

import pytest

from benchmarks.cache import Cache
from benchmarks.clip import Clip
from benchmarks.ours import BASELINE_BYTES, CallSettings, OurSide
from benchmarks.progress import Progress
from benchmarks.sweep import FRAMES, Sweep, intervals
from shared.models.engine import Picture


@pytest.fixture(scope="module")
def sweep(person: list[Picture]) -> Sweep:
    clip = Clip("person", 25.0, [i / 25 for i in range(4)], person[:4])
    return Sweep(OurSide("compact", "cpu"), clip, Cache(None), Progress(1, io.StringIO()))


def test_rarer_sources_cost_less_and_motion_stays(sweep: Sweep) -> None:
    settings = CallSettings("first", None, "balanced", 64, 50, "bicubic", None)
    often, rarely, once = sweep.run({"ours": settings}, [4, 40, FRAMES])["ours"]
    assert often["payload_bytes"] > 4 * rarely["payload_bytes"] > 4 * once["payload_bytes"]
    assert once["payload_bytes"] > 4 * FRAMES  # motion of every frame
    assert once["payload_bytes"] < 12 * FRAMES
    for point in (often, rarely, once):
        assert point["wire_bytes_both"] > point["payload_bytes"] + 69 * FRAMES / 5  # a packet a bundle at least


def test_lines_of_the_others(sweep: Sweep) -> None:
    point = {"quantiser": 23, "kbps": 100.0, "wire_kbps": 120.0, "wire_kbps_back": 2.0}
    equal = {"kbps": 5.0, "wire_kbps": 20.0, "wire_kbps_back": 2.0, "below_floor": True}
    report = {"face_vid2vid": {"source_bytes": 2000}, "codecs": {"x264": {"at_our_quality": equal}}}
    assert set(sweep.lines(report, None)) == {"face_vid2vid"}
    lines = sweep.lines(report, point)
    assert lines["face_vid2vid"]["payload_bytes"] == pytest.approx(2000 + FRAMES * BASELINE_BYTES, abs=50)
    assert lines["h264_default"] == {"payload_bytes": 300_000, "wire_bytes_both": 366_000}
    assert lines["h264_equal_quality"]["payload_bytes"] == 15_000
    assert "floor" in lines["h264_equal_quality"]["note"]


def test_intervals_are_spread_evenly_in_their_logarithm() -> None:
    assert intervals(1, 100) == [1, 2, 4, 7, 14, 27, 52, 100]
    assert intervals(15, 15) == [15]
    for wrong in ((0, 5), (9, 3)):
        with pytest.raises(ValueError, match="such as 1:100"):
            intervals(*wrong)
