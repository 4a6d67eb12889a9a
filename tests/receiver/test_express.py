"""One photograph performs an expression: what is written, and what cannot be performed."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from receiver import express
from receiver.express import PhotographError, framed, main, parse, read_photograph
from receiver.output.recorder import COMMENT
from sender.sample import PORTRAIT
from shared.models.engine import Picture
from shared.reactions import LABELS


def test_a_photograph_becomes_a_marked_film_and_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film, sheet = tmp_path / "surprise.mp4", tmp_path / "surprise.png"
    asked = [str(PORTRAIT), "--label", "surprise", "--frames", "4", "--out", str(film), "--sheet", str(sheet)]
    assert main([*asked, "--device", "cpu"]) == 0
    with av.open(str(film)) as container:
        assert container.metadata["comment"].startswith(COMMENT)
        assert "surprise" in container.metadata["comment"]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 4
    assert frames[0].shape == (256, 256, 3)
    mouth = (slice(150, 200), slice(90, 170))
    assert np.abs(frames[0][mouth].astype(int) - frames[-1][mouth]).mean() > 1.5
    mark = frames[0][4:22, 8:248]
    assert (mark.min(2) > 200).any()
    assert (mark.max(2) < 40).any()
    assert read_photograph(sheet).shape == (256 + 20, 4 * 256, 3)
    assert "4 frames" in capsys.readouterr().err


def photograph(path: Path, picture: Picture) -> str:
    cv2.imwrite(str(path), picture)
    return str(path)


def test_photographs_without_one_face_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wall = np.full((200, 300, 3), 128, np.uint8)
    portrait = read_photograph(PORTRAIT)
    cases = {
        photograph(tmp_path / "wall.png", wall): "no face was found in 'wall.png'",
        photograph(tmp_path / "two.png", np.hstack([portrait, portrait])): "shows 2 faces",
        str(tmp_path / "missing.jpg"): "cannot be read",
        str(tmp_path): "cannot be read",
    }
    (tmp_path / "text.jpg").write_text("no picture", encoding="utf-8")
    (tmp_path / "empty.jpg").touch()
    cases |= {str(tmp_path / name): "is no picture" for name in ("text.jpg", "empty.jpg")}
    for path, said in cases.items():
        assert main([path, "--label", "fear", "--out", str(tmp_path / "out.mp4")]) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.startswith("python -m receiver.express: ")
    assert not (tmp_path / "out.mp4").exists()


def test_the_portrait_is_framed_around_its_face() -> None:
    rgb = read_photograph(PORTRAIT)
    crop = framed(rgb, "sample")
    assert 0.3 * rgb.shape[0] < crop.side <= min(rgb.shape[:2]) * 1.1
    with pytest.raises(PhotographError, match="no face"):
        framed(np.zeros((64, 64, 3), np.uint8), "dark")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "add --out"),
        (["--out", "film.avi"], "name it film.mp4"),
        (["--sheet", "sheet.jpg"], "name it sheet.png"),
        (["--out", "new.mp4", "--frames", "1"], "--frames is 2 to"),
        (["--out", "new.mp4", "--intensity", "3"], "--intensity is 0 to 2"),
        (["--out", "there.mp4"], "--overwrite"),
    ],
)
def test_wrong_command_lines_say_what_is_wrong(
    more: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.mp4").touch()
    with pytest.raises(SystemExit) as ended:
        parse(["me.jpg", "--label", "anger", *more])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_all_are_performed_and_a_return_takes_twice_the_frames() -> None:
    asked = parse(["me.jpg", "--label", express.ALL, "--return", "--out", "new.mp4"])
    assert asked.labels == LABELS
    assert asked.frames == 64
    assert parse(["me.jpg", "--label", "fear", "--out", "new.mp4", "--frames", "9"]).frames == 9
