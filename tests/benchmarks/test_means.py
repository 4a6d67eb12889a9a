"""Reports of several clips brought together."""

from __future__ import annotations

from typing import Any

from benchmarks.means import margins, mean, wins


def report(sharp: float, mouth: float | None, theirs: float, at_floor: bool = True) -> dict[str, Any]:
    judge = {"sharp": sharp, "mouth_corr": mouth, "blink_corr": 0.5}
    other = {"sharp": theirs, "mouth_corr": 0.4, "blink_corr": 0.5}
    at_our_rate = {"psnr": 20.0 + theirs, "ms_ssim": 0.8, "judge": other, "at_floor": at_floor}
    return {
        "ours": {"psnr": 20.0 + sharp, "ms_ssim": 0.9, "upscaler": "bicubic", "judge": judge},
        "base_alone": {"at_our_rate": at_our_rate | {"psnr": 20.0}},
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


def test_every_rival_at_once_is_harder_to_beat() -> None:
    other = {"vp9": {"at_our_rate": {"psnr": 21.0, "ms_ssim": 0.7, "judge": CLIPS["a"]["ours"]["judge"]}}}
    won = wins({name: clip | {"codecs": clip["codecs"] | other} for name, clip in CLIPS.items()})
    assert won["x264"]["psnr"] == {"better": ["b", "c"], "worse": ["a"]}
    assert won["vp9"]["psnr"] == {"better": ["c"], "worse": ["a", "b"]}
    assert won["every_rival"]["psnr"] == {"better": ["c"], "worse": ["a", "b"]}
    assert won["every_rival"]["ms_ssim"] == {"better": ["a", "b", "c"], "worse": []}
    assert won["base_alone"]["psnr"] == {"better": ["a", "b", "c"], "worse": []}


def test_without_a_judge_the_pictures_are_compared() -> None:
    clip: dict[str, Any] = {"psnr": 30.0, "ms_ssim": 0.9}
    alone = {"ours": clip, "base_alone": {"at_our_rate": clip}, "codecs": {}}
    assert wins({"a": alone}) == {"base_alone": {key: {"better": [], "worse": ["a"]} for key in ("psnr", "ms_ssim")}}


def test_margins_are_to_the_best_codec_at_the_rate_of_each_call() -> None:
    def clip(psnr: float, best: float) -> dict[str, Any]:
        at = {"x264": (best - 1, 0.95), "vp9": (best, 0.9)}
        rungs = {name: {"at_rungs": {"ours_sharp": {"psnr": p, "ms_ssim": m}}} for name, (p, m) in at.items()}
        return {"ours_sharp": {"psnr": psnr, "ms_ssim": 0.94}, "codecs": rungs}

    margin = margins({"a": clip(30.0, 29.0), "b": clip(28.0, 28.5)})["ours_sharp"]
    assert margin["psnr"] == {"mean": 0.25, "worst": -0.5, "above": 1, "by_clip": [1.0, -0.5]}
    assert margin["ms_ssim"] == {"mean": -0.01, "worst": -0.01, "above": 0, "by_clip": [-0.01, -0.01]}
