"""Reports of several clips brought together."""

from __future__ import annotations

from typing import Any

from benchmarks.means import mean, wins


def report(sharp: float, mouth: float | None, theirs: float, at_floor: bool = True) -> dict[str, Any]:
    judge = {"sharp": sharp, "mouth_corr": mouth, "blink_corr": 0.5}
    other = {"sharp": theirs, "mouth_corr": 0.4, "blink_corr": 0.5}
    at_our_rate = {"psnr": 30.0, "judge": other, "at_floor": at_floor}
    return {
        "ours": {"psnr": 20.0 + sharp, "upscaler": "bicubic", "judge": judge},
        "codecs": {"x264": {"points": [{"kbps": 10 * theirs}, {"kbps": 20}], "at_our_rate": at_our_rate}},
    }


CLIPS = {"a": report(0.5, 0.6, 0.7), "b": report(0.9, None, 0.7, False), "c": report(1.3, 0.2, 1.1)}


def test_means_part_by_part() -> None:
    together = mean(list(CLIPS.values()))
    assert together["ours"]["psnr"] == 20.9
    assert together["ours"]["upscaler"] == "bicubic"
    assert together["codecs"]["x264"]["points"] == [{"kbps": 8.3333}, {"kbps": 20}]
    assert together["codecs"]["x264"]["at_our_rate"]["at_floor"] == 2  # on so many clips


def test_the_judge_gives_medians_of_what_it_could_tell() -> None:
    judge = mean(list(CLIPS.values()))["ours"]["judge"]
    assert judge == {"sharp": 0.9, "mouth_corr": 0.4, "blink_corr": 0.5}
    assert mean([{"judge": {"sharp": None}}])["judge"]["sharp"] is None


def test_wins_and_losses_by_clip() -> None:
    won = wins(CLIPS)["x264"]
    assert won["sharp"] == {"better": ["b"], "worse": ["a", "c"]}  # sharper than the original is not better
    assert won["mouth_corr"] == {"better": ["a"], "worse": ["c"]}  # b cannot be told
    assert won["blink_corr"] == {"better": [], "worse": ["a", "b", "c"]}
