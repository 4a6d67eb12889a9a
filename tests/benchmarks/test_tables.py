"""The comparison in words: losses are called losses."""

from __future__ import annotations

from typing import Any

from benchmarks.tables import against_best, clip_verdicts, equal_quality, judged, markdown, text, variants, verdicts


def report(psnr: float, at_floor: int = 0, **more: Any) -> dict[str, Any]:
    rates = {"kbps": 5.0, "wire_kbps": 19.0, "wire_kbps_back": 1.0}
    chosen = {"256 px": 0, "128 px": 2, "128 px, 1/2 of the frames": 1}
    at_our_rate = rates | {"psnr": 25.0, "ms_ssim": 0.9, "sharp": 0.4, "at_floor": at_floor, "chosen": chosen}
    at_our_quality = rates | {"below_floor": at_floor, "above_ceiling": 0}
    return {
        "rate": 10.0,
        "base_alone": {"at_our_rate": at_our_rate, "at_our_quality": at_our_quality},
        "ours": {"wire_kbps_out": 6.0, "wire_kbps_back": 4.0, "psnr": psnr, "ms_ssim": 0.85},
        "codecs": {"x264": {"at_our_rate": at_our_rate, "at_our_quality": at_our_quality}},
    } | more


def test_losses_are_said_plainly() -> None:
    base, codec = verdicts(report(22))
    assert "our base layer alone" in base
    assert "3.00 dB WORSE" in codec
    assert "0.0500 WORSE" in codec
    _, codec = verdicts(report(28, at_floor=1))
    assert "3.00 dB better" in codec
    assert "20.0 kbit/s on the wire (2.00 times ours, its floor)" in codec


def test_remarks_of_several_clips_say_on_how_many_they_hold() -> None:
    several = {"a": {}, "b": {}, "c": {}}
    assert "its floor, better than ours on 2 of 3" in equal_quality(report(22, at_floor=2, clips=several))
    assert "floor" not in equal_quality(report(22, clips=several))
    assert "its floor on 2 of 3" in verdicts(report(22, at_floor=2, clips=several))[0]


def test_clips_that_are_lost_are_named() -> None:
    wins = {"x264": {key: {"better": ["a"], "worse": ["b", "c"]} for key in ("sharp", "mouth_corr", "blink_corr")}}
    first, *_ = clip_verdicts(report(22, wins=wins))
    assert first == "sharpness, against x264 veryfast: better on 1 of 3; WORSE on b, c"
    assert clip_verdicts(report(22)) == []
    assert judged(report(22)) is None


def test_a_table_that_a_readme_takes() -> None:
    assert markdown(["a", "bc"], [["long", "1"]]) == "| a    | bc |\n| ---- | -: |\n| long |  1 |"


def test_on_how_many_clips_a_variant_is_the_best() -> None:
    assert variants(report(22)).splitlines()[1] == "x264 veryfast: 128 px (2); 128 px, 1/2 of the frames (1)."


def test_rivals_alone_have_a_table() -> None:
    alone = report(22)
    del alone["ours"]
    told = text(alone)
    assert "| our base layer alone, its floor" not in told
    assert "| our base layer alone " in told
    assert "0.40" in told  # sharpness
    assert "WORSE" not in told


def test_a_rung_that_is_worse_than_a_codec_is_seen_in_the_sign() -> None:
    gap = {"mean": -0.31, "worst": -0.9, "above": 1, "by_clip": [0.3, -0.9]}
    call = {"profile": "video", "picture_size": 256, "upscaler": None, "wire_kbps_out": 39.0, "wire_kbps_back": 3.0}
    told = against_best({"ours_video": call, "margins": {"ours_video": {"psnr": gap, "ms_ssim": gap}},
                         "clips": {"a": {}, "b": {}}})  # fmt: skip
    assert told is not None
    assert "| Pinhole video, 256 px" in told and "42.0 |      -0.31 | -0.90 |   1 of 2 |" in told
    assert against_best(report(22)) is None
