"""The thin link command: its keys and what must hold on any machine, never its times."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.thin_link import Prepared, longest_still, main, parse, spread


def test_a_short_call_over_a_thin_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t.json"
    assert main(["--seconds", "1.5", "--freq", "20", "--rate", "64", "--rtt", "20", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    frames = report["frames"]
    assert frames["sent"] == frames["received"] > 25
    assert 0 < frames["shown"] <= frames["received"]
    assert frames["drawn_from_a_source_not_held"] == frames["not_drawable"] == report["malformed"] == 0
    assert report["sources"]["held"] >= 1
    assert report["first_picture_s"] > 0
    assert set(report["delay_ms"]) == {"all", "source_under_way", "otherwise"}
    assert 0 < report["delay_ms"]["all"]["p50"] <= report["delay_ms"]["all"]["p90"]
    assert set(report["sender"]["steady"]["wire_bytes_out_by_kind"]) == {
        "motion", "pictures", "control", "headers", "sacks", "connection",
    }  # fmt: skip
    assert report["settings"]["bundle"] == 5
    text = capsys.readouterr().out
    assert "first picture" in text and "source under way" in text


def test_spread_and_the_longest_still() -> None:
    assert spread([float(n) for n in range(101)]) == {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}
    assert set(spread([]).values()) == {None}
    assert longest_still([1.0, 1.2, 2.0, 2.1]) == 0.8
    assert longest_still([1.0]) is None


def test_a_short_video_is_played_there_and_back() -> None:
    pictures = [np.full((2, 2, 3), n, np.uint8) for n in range(4)]
    played = list(Prepared(10.0, pictures, 1.0))
    assert [int(picture[0, 0, 0]) for _, picture in played] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert [stamp for stamp, _ in played] == pytest.approx([n / 10 for n in range(10)])
    assert [int(p[0, 0, 0]) for _, p in itertools.islice(Prepared(10.0, pictures[:1], 9.0), 3)] == [0, 0, 0]


@pytest.mark.parametrize("arguments", [["--rate", "-1"], ["--loss", "100"], ["--seconds", "0"], ["--profile", "no"]])
def test_impossible_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)


def test_a_video_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--video", "nowhere.mp4"]) == 1
    assert "nowhere.mp4" in capsys.readouterr().err
