from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared.call.report import Snapshot, figures, percentiles, report_path, write_report
from shared.transport.link import Channel, Kind, PayloadBytes, Tally, Traffic, WireBytes


def snapshot(time: float, frames: int, sources: int, size: int, delays: int = 0) -> Snapshot:
    """Every channel has carried `size` bytes out and twice as many in; the wire ten times that."""
    tallies = {channel: Tally(1, size) for channel in Channel}
    back = {channel: Tally(1, 2 * size) for channel in Channel}
    kinds = dict.fromkeys(Kind, 0) | {Kind.MOTION: 4 * size, Kind.SACKS: 6 * size}
    wire = WireBytes(Traffic(1, kinds), Traffic(1, {kind: 2 * each for kind, each in kinds.items()}))
    shown = (time, time) if frames else (None, None)
    return Snapshot(time, frames, sources, wire, PayloadBytes(tallies, back), delays, *shown)


def test_the_rate_is_that_of_the_time_in_which_frames_went() -> None:
    start, end = snapshot(100, 0, 0, 0), replace(snapshot(120, 51, 0, 0), first_frame=110.0, last_frame=112.0)
    assert figures(start, end, "frames_shown", False, [])["fps"] == 25
    one = replace(end, frames=1)
    assert figures(start, one, "frames_shown", False, [])["fps"] == 0


def test_figures_are_differences() -> None:
    start, end = snapshot(100, 10, 1, 100), snapshot(108, 210, 3, 1100)
    whole = figures(start, end, "frames_sent", True, [])
    assert whole["frames_sent"] == 200
    assert whole["duration_s"] == 8
    assert whole["fps"] == 25
    assert whole["payload_bytes"] == 3000
    assert whole["payload_bytes_by_channel"] == {"motion": 1000, "pictures": 1000, "control": 1000}
    assert whole["wire_bytes_out"] == 10_000
    assert whole["wire_bytes_in"] == 20_000
    assert {kind: n for kind, n in whole["wire_bytes_out_by_kind"].items() if n} == {"motion": 4000, "sacks": 6000}
    assert {kind: n for kind, n in whole["wire_bytes_in_by_kind"].items() if n} == {"motion": 8000, "sacks": 12_000}
    assert whole["payload_kbps"] == 3.0
    assert (whole["wire_kbps_out"], whole["wire_kbps_in"]) == (10.0, 20.0)
    assert whole["sources_sent"] == 2
    assert whole["delay_ms"] == {"p50": None, "p95": None}


def test_a_receiver_counts_what_it_received() -> None:
    assert figures(snapshot(0, 0, 0, 0), snapshot(1, 1, 0, 50), "frames_shown", False, [])["payload_bytes"] == 300


def test_only_delays_since_the_start_count() -> None:
    start, end = snapshot(0, 0, 0, 0, delays=2), snapshot(1, 4, 0, 0, delays=4)
    assert figures(start, end, "frames_shown", False, [900.0, 900.0, 10.0, 30.0, 900.0])["delay_ms"]["p50"] == 20


def test_a_call_in_which_nothing_happened_has_figures_too() -> None:
    same = snapshot(5, 0, 0, 0)
    nothing = figures(same, same, "frames_sent", True, [])
    assert nothing["fps"] == 0
    assert nothing["payload_bytes"] == 0
    json.dumps(nothing, allow_nan=False)


def test_percentiles() -> None:
    assert percentiles(range(101)) == {"p50": 50.0, "p95": 95.0}  # type: ignore[arg-type]
    assert percentiles([7.25]) == {"p50": 7.2, "p95": 7.2}


def test_a_report_replaces_the_one_before_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_report(path, {"fps": 25})
    with pytest.raises(TypeError):
        write_report(path, {"fps": object()})
    assert json.loads(path.read_text()) == {"fps": 25}
    write_report(path, {"fps": 12.5})
    assert json.loads(path.read_text()) == {"fps": 12.5}
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_a_report_needs_a_folder_that_exists(tmp_path: Path) -> None:
    assert report_path(str(tmp_path / "r.json")) == tmp_path / "r.json"
    for bad in (tmp_path / "nowhere" / "r.json", tmp_path):
        with pytest.raises(argparse.ArgumentTypeError, match="folder that exists"):
            report_path(str(bad))
