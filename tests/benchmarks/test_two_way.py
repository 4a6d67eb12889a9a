"""The cost of sound and of the other direction: real calls, short ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import two_way
from benchmarks.two_way import main, parse


def test_both_ways_cost_more_than_one_and_less_than_two(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(two_way, "_SETTLE_SECONDS", 0.2)
    out = tmp_path / "t.json"
    assert main(["--video", str(clip), "--bundles", "3", "10", "--seconds", "2", "--json", str(out)]) == 0
    rows = {(row["both_ways"], row["sound"], row["bundle"]): row for row in json.loads(out.read_text())["rows"]}
    assert len(rows) == 12
    for (both_ways, sound, bundle), row in rows.items():
        if sound == "silent":
            assert row["sum_kbps"] < rows[both_ways, "speech without a pause", bundle]["sum_kbps"]
        if bundle == 10:
            assert row["sum_kbps"] < rows[both_ways, sound, 3]["sum_kbps"]
    # longer bundles are too few here, and a machine with much to do says so, which takes bytes of its own
    one, two = (sum(row["sum_kbps"] for (w, _, b), row in rows.items() if b == 3 and w == way) for way in (False, True))
    assert one < two < 2 * one
    assert "| two-way |" in capsys.readouterr().out


def test_what_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--seconds", "0"], ["--bundles", "11"]):
        with pytest.raises(SystemExit):
            parse(wrong)
    assert main(["--video", "nowhere.mp4"]) == 1
    assert "nowhere.mp4" in capsys.readouterr().err
