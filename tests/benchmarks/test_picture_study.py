"""The study of picture sizes and qualities on a clip of the sample person."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from call_examples import FPS, SIDE, ColourEngine, picture, write_clip

from benchmarks import picture_study
from benchmarks.clip import Clip
from benchmarks.picture_study import PRESENT, compare, main, on_front, settings_of, table, verdicts
from benchmarks.pictures import Film, Setting, Trial, energy, first_source
from receiver.synthesis import Synthesis
from receiver.upscale import Bicubic
from shared.models.engine import Picture

EVERY = 4


def film_of(pictures: list[Picture], every: int = EVERY) -> Film:
    stamps = [number / FPS for number in range(len(pictures))]
    return Film(Clip("made up", FPS, stamps, pictures), ColourEngine(), every, lambda share: None)


def trial_of(film: Film, engine: ColourEngine, quality: int = 80) -> Trial:
    return Trial(film, Setting(SIDE, quality), Synthesis(engine, Bicubic()))


@pytest.fixture
def turning() -> list[Picture]:
    """A head that turns from -50 to 50 degrees in two seconds, each frame of another green."""
    return [picture(2.0 * number - 50, 5 * number) for number in range(50)]


def test_measured_frames_are_no_sources(turning: list[Picture]) -> None:
    film = film_of(turning)
    for count in range(1, 30):
        sources = film.spaced(count)
        assert sources[0] == film.first
        assert sources == sorted(set(sources))
        assert not set(sources) & set(film.measured)
    assert len(film.spaced(3)) == 3
    assert {b - a for a, b in zip(film.measured, film.measured[1:], strict=False)} == {EVERY}


def test_the_first_source_is_the_senders(turning: list[Picture]) -> None:
    frames = film_of(turning).frames
    stamps = [number / FPS for number in range(50)]
    best = first_source(frames, stamps)
    assert 0 < best <= FPS  # the least turned of the first second
    assert abs(frames[best].motion.rotation[0]) == min(abs(f.motion.rotation[0]) for f in frames[: best + 1])
    assert first_source(frames[:1], [0.0]) == 0


def test_a_budget_buys_sources_and_each_frame_its_nearest(turning: list[Picture]) -> None:
    film, engine = film_of(turning), ColourEngine()
    trial = trial_of(film, engine)
    alone = trial.alone()
    assert (alone["sources"], len(engine.drawn)) == (1, len(film.measured))
    kbps_of_one = alone["bytes"] * 8 / 1000 / film.seconds
    few, some = trial.within(0.9 * kbps_of_one), trial.within(3.5 * kbps_of_one)
    assert few == alone | {"fits": False}
    assert some["fits"]
    assert some["sources"] == 3
    assert alone["bytes"] < some["bytes"] <= 3.5 * alone["bytes"]
    drawn = len(engine.drawn)
    assert trial.within(3.5 * kbps_of_one) == some
    assert len(engine.drawn) == drawn  # nothing is drawn twice


def test_later_sources_help_where_the_first_does_not_show_it() -> None:
    """The colour engine paints the source's green: with a source of each half, both halves come out right."""
    halves = [picture(0.0, 40)] * 24 + [picture(20.0, 200)] * 26
    film = film_of(halves)
    trial = trial_of(film, ColourEngine())
    alone, often = trial.alone(), trial.within(1000.0)
    assert often["psnr"] > alone["psnr"] + 5


def test_energy_is_that_of_fine_detail(person: list[Picture]) -> None:
    sharp = np.asarray(cv2.cvtColor(person[0], cv2.COLOR_RGB2GRAY), np.uint8)
    soft = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 2), np.uint8)
    assert energy(soft) < 0.7 * energy(sharp)
    assert energy(np.full((SIDE, SIDE), 7, np.uint8)) == 0


def test_what_is_not_enlarged_is_measured_once() -> None:
    settings = settings_of([64, 256], [20, 50])
    assert len(settings) == len(set(settings)) == 6
    assert [str(s) for s in settings if s.size == 256] == ["256 px, quality 20", "256 px, quality 50"]
    assert "64 px, quality 20, bicubic" in map(str, settings)


def test_the_front_is_of_what_nothing_beats() -> None:
    figures = [{"bytes": b, "psnr": p} for b, p in ((100, 20.0), (200, 22.0), (200, 21.0), (300, 22.0), (400, 23.0))]
    assert on_front(figures, "psnr") == [True, True, False, False, True]


def test_gains_are_of_the_same_clips() -> None:
    ours, theirs = ({name: {"psnr": value} for name, value in zip("abc", values, strict=True)}
                    for values in ((21.0, 25.0, 30.0), (20.0, 23.0, 30.0)))  # fmt: skip
    gain, doubt, better = compare(ours, theirs, "psnr")
    assert gain == pytest.approx(1.0)
    assert doubt == pytest.approx(1 / 3**0.5)
    assert better == 2


def test_a_budget_that_nothing_fits_has_no_winner() -> None:
    clips = {"a": {"fits": False}}
    assert verdicts([{"setting": str(PRESENT), "clips": clips}]) == ["No setting fits this budget on every clip."]


def test_the_command_writes_what_it_prints(
    person: list[Picture], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clip(tmp_path / "a.mp4", person)
    (tmp_path / "raw_a.mp4").write_bytes(b"not looked at")
    out = tmp_path / "s.json"
    arguments = ["--clips", str(tmp_path), "--json", str(out), "--sizes", "64,256", "--qualities", "65"]
    assert main([*arguments, "--rate-qualities", "65", "--kbps", "1,40", "--every", "20"]) == 0
    report = json.loads(out.read_text())
    assert report["clips"] == ["a"]
    assert len(report["settings"]["wire_hash"]) == 16
    small, large, plain = (row["mean"] for row in report["one_source"])
    assert small["bytes"] == plain["bytes"] < large["bytes"]
    assert small["psnr"] != plain["psnr"]
    assert plain["sharp"] < large["sharp"]
    assert plain["ms_ssim"] < large["ms_ssim"]
    poor, rich = report["equal_bytes"]
    assert [row["clips"]["a"]["fits"] for row in poor["rows"]] == [False, False]  # 250 bytes: less than the keypoints
    assert all(row["mean"]["sources"] > 1 and row["clips"]["a"]["fits"] for row in rich["rows"])
    assert sum(row["nearest"]["psnr"] for row in rich["rows"]) == 1
    printed = capsys.readouterr().out
    assert table(report) in printed
    assert "the present default" in printed


@pytest.mark.parametrize("arguments", [["--sizes", "100"], ["--sizes", ""], ["--qualities", "20,101"],
                                       ["--kbps", "0"], ["--kbps", "nan"], ["--every", "1"]])  # fmt: skip
def test_wrong_numbers_are_refused_at_once(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--clips", ".", *arguments])
    assert "not '" in capsys.readouterr().err


def test_what_cannot_be_measured_is_said_in_a_sentence(
    person: list[Picture], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--clips", str(tmp_path)]) == 1
    assert "holds no clip" in capsys.readouterr().err
    write_clip(tmp_path / "a.mp4", person[:5])
    assert main(["--clips", str(tmp_path)]) == 1
    assert "has 5 frames, too few for every 20th" in capsys.readouterr().err


def test_an_interruption_is_no_crash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> Callable[[], None]:
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_study, "run", interrupted)
    assert main(["--clips", "."]) == 130
    assert "interrupted" in capsys.readouterr().err
