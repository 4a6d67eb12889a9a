"""The recorder leaves a playable, marked file whatever happens."""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from receiver.output.recorder import COMMENT, FRAGMENT_FRAMES, Recorder, RecordError
from shared.media import open_media

ROOT = Path(__file__).parents[3]


def picture(i: int) -> NDArray[np.uint8]:
    """A smooth picture that gets brighter with i."""
    ramp = np.linspace(0, 100, 64, dtype=np.uint8)
    return np.repeat((ramp[None, :] + ramp[:, None] // 2 + i % 100)[..., None], 3, axis=2).astype(np.uint8)


def read_with_av(path: Path) -> tuple[list[NDArray[np.uint8]], list[float], float]:
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate or 0)
        frames = [(f.to_ndarray(format="rgb24"), float(f.time or 0)) for f in container.decode(video=0)]
    return [f for f, _ in frames], [t for _, t in frames], rate


@pytest.mark.parametrize("fps", [25, 12.5, 30000 / 1001])
def test_round_trip_keeps_pictures_count_and_rate(tmp_path: Path, fps: float) -> None:
    path = tmp_path / "call.mp4"
    with Recorder(path, fps, 64) as recorder:
        for i in range(40):
            recorder.write(picture(i))
    frames, times, rate = read_with_av(path)
    assert len(frames) == 40
    assert rate == pytest.approx(fps, rel=1e-3)
    assert times == pytest.approx([i / fps for i in range(40)], abs=2e-3)
    for i in (0, 17, 39):
        assert np.abs(frames[i].astype(int) - picture(i)).mean() < 3


def test_opencv_reads_it_too(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    with Recorder(path, 25, (96, 64)) as recorder:
        for _ in range(30):
            recorder.write(np.full((64, 96, 3), 90, np.uint8))
    video = cv2.VideoCapture(str(path))
    count = 0
    while video.read()[0]:
        count += 1
    assert count == 30
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(25)


def test_file_says_that_it_is_synthetic(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    with Recorder(path, 25, 64) as recorder:
        recorder.write(picture(0))
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == COMMENT
        assert container.metadata["title"]


def test_killed_process_leaves_all_but_the_last_second_or_so(tmp_path: Path) -> None:
    path = tmp_path / "killed.mp4"
    script = (
        "import os, sys, numpy as np; from receiver.output.recorder import Recorder\n"
        "recorder = Recorder(sys.argv[1], 25, 64)\n"
        "for i in range(100): recorder.write(np.full((64, 64, 3), i, np.uint8))\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=False).returncode == 9
    assert not path.exists()
    frames, _, rate = read_with_av(tmp_path / "killed.part.mp4")
    assert 100 - 2 * FRAGMENT_FRAMES <= len(frames) < 100
    assert rate == pytest.approx(25)


def test_error_in_the_call_still_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"

    def interrupted_call() -> None:
        with Recorder(path, 25, 64) as recorder:
            recorder.write(picture(0))
            recorder.write(picture(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_call()
    assert len(read_with_av(path)[0]) == 2


def test_nothing_received_leaves_no_file_and_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "call.mp4"
    with caplog.at_level(logging.WARNING):
        recorder = Recorder(path, 25, 64)
        recorder.close()
        recorder.close()
    assert not path.exists()
    assert [r.message for r in caplog.records if "nothing was recorded" in r.message] == [caplog.records[0].message]


def test_bad_places_are_refused_before_the_call(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not exist"):
        Recorder(tmp_path / "missing" / "call.mp4", 25, 64)
    with pytest.raises(RecordError, match="is a folder"):
        Recorder(tmp_path, 25, 64)


def test_place_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere, so permission bits would not do
    with pytest.raises(RecordError, match="cannot be written"):
        Recorder(tmp_path / "call.mp4", 25, 64)


def test_other_endings_are_refused(tmp_path: Path) -> None:
    for name in ("call.webm", "call.gif", "call", "call.mkv"):
        with pytest.raises(RecordError, match=r"name it call\.mp4"):
            Recorder(tmp_path / name, 25, 64)
    Recorder(tmp_path / "CALL.MP4", 25, 64)
    Recorder("/dev/null", 25, 64)


@pytest.mark.parametrize(("frames", "kept"), [(10, False), (200, True)])
def test_a_full_disk_keeps_what_was_there_and_says_where_the_rest_is(
    tmp_path: Path, frames: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "call.mp4"
    path.write_bytes(b"of before")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)

    def record() -> None:
        with Recorder(path, 25, 64) as recorder:
            for i in range(frames):
                recorder.write(picture(i))
            resource.setrlimit(resource.RLIMIT_FSIZE, (tmp_path.joinpath("call.part.mp4").stat().st_size, hard))
            for i in range(200):
                recorder.write(np.roll(noise, i, 0))

    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(RecordError, match="is the disk full") as said:
            record()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"of before"
    assert ("call.part.mp4" in str(said.value)) == (tmp_path / "call.part.mp4").exists() == kept
    if kept:
        assert len(read_with_av(tmp_path / "call.part.mp4")[0]) >= frames - 3 * FRAGMENT_FRAMES


def test_a_recording_that_breaks_off_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "call.mp4"
    path.write_bytes(b"of before")

    def record() -> None:
        with Recorder(path, 25, 64) as recorder:
            recorder.write(picture(0))
            raise ValueError("it breaks off")

    with pytest.raises(ValueError, match="breaks off"):
        record()
    assert [each.name for each in tmp_path.iterdir()] == ["call.mp4"]
    assert path.read_bytes() == b"of before"


@pytest.mark.parametrize("name", ["12:30.mp4", "50%03d.mp4", "a b'c.mp4", "-x.mp4", "été.mp4"])
def test_any_name_is_a_name(tmp_path: Path, name: str) -> None:
    with Recorder(tmp_path / name, 25, 64) as recorder:
        recorder.write(picture(0))
    assert [each.name for each in tmp_path.iterdir()] == [name]
    with open_media(tmp_path / name) as container:
        assert len(list(container.decode(video=0))) == 1


@pytest.mark.parametrize(("fps", "size"), [(25, 63), (0, 64), (-5, 64), (25, 0), (25, (64, 33))])
def test_impossible_formats_are_refused(tmp_path: Path, fps: float, size: int | tuple[int, int]) -> None:
    with pytest.raises(RecordError, match="even"):
        Recorder(tmp_path / "call.mp4", fps, size)


def test_pictures_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path / "call.mp4", 25, 64) as recorder:
        recorder.write(picture(0))
        with pytest.raises(RecordError, match=r"\(32, 32, 3\)"):
            recorder.write(np.zeros((32, 32, 3), np.uint8))
        with pytest.raises(RecordError, match="float32"):
            recorder.write(np.zeros((64, 64, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(RecordError, match="closed"):
        recorder.write(picture(1))
