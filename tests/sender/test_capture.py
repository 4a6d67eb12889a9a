"""Captures: time stamps, clear refusals, and the newest frame of a camera."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from sender import devices
from sender.capture import CameraCapture, SourceError, open_source
from sender.decoding import Decoding


def write_video(path: Path, times: list[int], size: tuple[int, int] = (64, 48), codec: str = "libx264") -> Path:
    """A video whose frame i is grey 8·i (mod 256) and shown at times[i] hundredths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=100)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"bf": "0", "g": "5"} if codec == "libx264" else {}
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 8 * i % 256, np.uint8), format="rgb24")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_file_keeps_its_own_uneven_time_stamps(tmp_path: Path) -> None:
    path = write_video(tmp_path / "uneven.mkv", [0, 4, 8, 20, 24, 50])
    with open_source(str(path)) as capture:
        frames = list(capture)
    assert capture.kind == "file"
    assert [t for t, _ in frames] == pytest.approx([0, 0.04, 0.08, 0.2, 0.24, 0.5], abs=0.002)
    assert [round(float(rgb.mean()) / 8) for _, rgb in frames] == [0, 1, 2, 3, 4, 5]
    assert frames[0][1].shape == (48, 64, 3)


def test_file_that_starts_late_begins_at_zero(tmp_path: Path) -> None:
    with open_source(str(write_video(tmp_path / "late.mkv", [300, 304, 308]))) as capture:
        assert [t for t, _ in capture] == pytest.approx([0, 0.04, 0.08], abs=0.002)


def test_frames_without_time_stamps_follow_the_rate(tmp_path: Path) -> None:
    raw = tmp_path / "bare.h264"  # a bare stream has no time stamps at all
    write_video(raw, list(range(0, 40, 4)))
    with open_source(str(raw)) as capture:
        stamps = [t for t, _ in capture]
    assert len(stamps) == 10
    assert np.all(np.diff(stamps) > 0)


def test_rate_and_duration_are_told(tmp_path: Path) -> None:
    with open_source(str(write_video(tmp_path / "a.mp4", list(range(0, 200, 4))))) as capture:
        assert capture.fps == pytest.approx(25, rel=0.02)
        assert capture.duration == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("garbage.mp4", bytes(range(256)) * 40, "cannot be read|no video stream"),
        ("notes.txt", b"a letter, not a film\n" * 40, "cannot be read|no video stream"),
        (
            "list.m3u8",
            b"#EXTM3U\n#EXTINF:2,\nhttp://192.0.2.1/a.ts\n#EXT-X-ENDLIST\n",
            "cannot be read|no video stream",
        ),
    ],
)
def test_files_that_are_no_videos_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        open_source(str(path))


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(SourceError, match="no video stream"):
        open_source(str(path))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("/no/such/film.mp4", "there is no file"),
        ("camera:", "names no camera"),
        ("camera:-1", "names no camera"),
        ("camera:front", "names no camera"),
        ("camera:97", "camera 97"),
        ("http://192.0.2.1/film.mp4", "is no source"),
        ("", "is no source"),
        (".", "there is no file"),
    ],
)
def test_specs_that_name_nothing_are_refused(spec: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(spec)


def test_huge_pictures_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "huge.mkv", [0], (4224, 16), "mpeg4")
    with pytest.raises(SourceError, match="4224x16"):
        open_source(str(path))


@pytest.mark.parametrize("keep_length", [True, False], ids=["overwritten", "cut off"])
def test_damaged_file_ends_early_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, keep_length: bool
) -> None:
    path = tmp_path / "damaged.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.options = {"bf": "0", "g": "5"}
        for noise in np.random.default_rng(0).integers(0, 255, (75, 96, 128, 3), np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + (b"\0" * (len(content) - half) if keep_length else b""))
    with caplog.at_level(logging.WARNING, "sender.capture"), open_source(str(path)) as capture:
        stamps = [t for t, _ in capture]
    assert 10 < len(stamps) < 60
    assert stamps == sorted(stamps)
    assert "is damaged" in caplog.text


def test_whole_file_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_video(tmp_path / "whole.mp4", list(range(0, 300, 4)))
    with caplog.at_level(logging.WARNING, "sender.capture"), open_source(str(path)) as capture:
        assert len(list(capture)) == 75
    assert not caplog.records


def test_header_without_pictures_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.mkv", list(range(0, 40, 4)))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75")])  # Matroska's first cluster of pictures
    with pytest.raises(SourceError, match=r"no picture|cannot be read"), open_source(str(path)) as capture:
        list(capture)


def test_closing_ends_a_running_iteration(tmp_path: Path) -> None:
    capture = open_source(str(write_video(tmp_path / "a.mkv", list(range(0, 40, 4)))))
    frames = iter(capture)
    next(frames)
    capture.close()
    capture.close()
    assert list(frames) == []


IDENTITY = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()


@pytest.mark.parametrize(
    ("a", "b", "c", "d"),
    [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1), (0, 1, -1, 0), (0, -1, 1, 0), (0, 1, 1, 0),
     (0, -1, -1, 0)],
)  # fmt: skip
def test_every_orientation_comes_as_it_is_shown(tmp_path: Path, a: int, b: int, c: int, d: int) -> None:
    seen = np.zeros((48, 64, 3), np.uint8)
    seen[:24, :32], seen[:24, 32:], seen[24:, :32] = 60, 120, 180  # four quarters, each of its own grey
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(seen, format="rgb24")))
        container.mux(stream.encode())
    content = bytearray(path.read_bytes())
    at = content.index(IDENTITY, content.index(b"tkhd"))
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4")
    content[at : at + len(IDENTITY)] = matrix.tobytes()
    path.write_bytes(content)
    with open_source(str(path)) as capture:
        ((_, rgb),) = capture
    assert rgb.shape == ((48, 64, 3) if a else (64, 48, 3))
    for x, y in ((-1, -1), (1, -1), (-1, 1), (1, 1)):  # a quarter of the film, and where the matrix puts it
        across, down = a * x + c * y, b * x + d * y
        there = rgb[(2 + down) * rgb.shape[0] // 4, (2 + across) * rgb.shape[1] // 4, 0]
        assert abs(int(there) - int(seen[(2 + y) * 12, (2 + x) * 16, 0])) < 6


@pytest.mark.parametrize(("pixel", "shape"), [((4, 3), (48, 85, 3)), ((3, 4), (64, 64, 3)), ((1, 1), (48, 64, 3)),
                                              ((0, 1), (48, 64, 3)), ((99, 1), (48, 64, 3))])  # fmt: skip
def test_pixels_become_square(tmp_path: Path, pixel: tuple[int, int], shape: tuple[int, int, int]) -> None:
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*pixel)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    with open_source(str(path)) as capture:
        assert [rgb.shape for _, rgb in capture] == [shape]


def test_full_and_limited_range_are_told_apart(tmp_path: Path) -> None:
    seen = {}
    for kept in (ColorRange.MPEG, ColorRange.JPEG):
        path = tmp_path / f"{int(kept)}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.color_range = kept
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane, level in zip(frame.planes, (100, 128, 128), strict=True):
                plane.update(bytes([level]) * plane.buffer_size)
            frame.color_range, frame.pts = kept, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        with open_source(str(path)) as capture:
            seen[kept] = int(next(iter(capture))[1][20, 20, 0])
    assert seen[ColorRange.JPEG] == 100
    assert abs(seen[ColorRange.MPEG] - (100 - 16) * 255 / 219) <= 1


def write_song(path: Path, film: bool = False) -> Path:
    """A cover, which comes first, and a little sound, or a film of two grey frames."""
    with av.open(str(path), "w", format="mp4") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 32
        cover.pix_fmt, cover.disposition = "yuvj420p", Disposition.attached_pic
        video = container.add_stream("libx264", rate=25) if film else None
        audio = None if film else container.add_stream("aac", rate=48000, layout="mono")
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(cover.encode())
        if video is not None:
            for _ in range(2):
                grey = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
                container.mux(video.encode(grey))
            container.mux(video.encode())
        if audio is not None:
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 48000
            container.mux(audio.encode(sound))
            container.mux(audio.encode())
    return path


def test_a_song_with_a_cover_has_no_moving_pictures(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no video stream"):
        open_source(str(write_song(tmp_path / "song.m4a")))


def test_a_film_behind_a_cover_is_what_is_taken(tmp_path: Path) -> None:
    with open_source(str(write_song(tmp_path / "film.mp4", film=True))) as capture:
        assert [rgb.shape for _, rgb in capture] == [(48, 64, 3)] * 2


def test_a_photograph_is_one_frame_and_says_so_or_is_held(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "100%03d.png"
    assert cv2.imwrite(str(path), np.full((16, 32, 3), 9, np.uint8))
    with open_source(str(path)) as capture:
        assert [t for t, _ in capture] == [0]
    assert "is one picture" in caplog.text and "--seconds" in caplog.text
    caplog.clear()
    with open_source(str(path), hold=1.0) as capture:
        frames = list(capture)
    assert [t for t, _ in frames] == pytest.approx([n / 25 for n in range(25)])
    assert all((rgb == 9).all() for _, rgb in frames)
    assert not caplog.records


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
@pytest.mark.parametrize("damaged", [[10], [3, 4, 20], [39]])
def test_a_damaged_packet_costs_its_own_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, damaged: list[int]
) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.options = {"g": "1", "bf": "0"} if codec == "libx264" else {}
        for i in range(40):
            grey = np.full((48, 64, 3), 5 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.pos is not None and p.size]
    content = bytearray(path.read_bytes())
    for number in damaged:
        pos, size = packets[number]
        content[pos : pos + size] = b"\xff" * size
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING), open_source(str(path)) as capture:
        frames = list(capture)
    whole = [n for n in range(40) if n not in damaged]
    assert [round(t * 25) for t, _ in frames] == whole
    assert [round(float(rgb.mean()) / 5) for _, rgb in frames] == whole
    if damaged != [39] or codec == "mjpeg":  # of the last packet a decoder with threads says nothing
        assert f"{len(damaged)} packets of its pictures" in caplog.text


def test_a_file_that_cannot_be_read_on_ends() -> None:
    class Broken:
        def demux(self, stream: object) -> Iterator[object]:
            raise av.error.InvalidDataError(1, "damaged")
            yield

    class Nothing:
        def decode(self, packet: object) -> list[object]:
            raise av.error.EOFError(1, "over")

    decoding = Decoding(Broken(), Nothing())  # type: ignore[arg-type]
    assert list(decoding) == []
    assert decoding.lost > 1


def test_sample_is_endless_and_closes() -> None:
    with open_source("sample") as capture:
        assert (capture.kind, capture.duration) == ("sample", None)
        frames = iter(capture)
        stamps = [next(frames)[0] for _ in range(3)]
    assert stamps == pytest.approx([0, 0.04, 0.08])
    assert list(frames) == []


class FakeCamera:
    """Delivers the pictures put into `frames`; None ends it."""

    def __init__(self) -> None:
        self.frames: queue.Queue[NDArray[np.uint8] | None] = queue.Queue()
        self.taken: queue.Queue[int] = queue.Queue()
        self.released = False

    def isOpened(self) -> bool:
        return True

    def get(self, propId: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        self.taken.put(1)
        frame = self.frames.get()
        return frame is not None, frame

    def release(self) -> None:
        self.released = True


def picture(blue: int) -> NDArray[np.uint8]:
    return np.full((4, 6, 3), (blue, 0, 0), np.uint8)


def test_camera_gives_only_its_newest_frame_in_rgb() -> None:
    device = FakeCamera()
    stamps = iter([10.0, 10.1, 10.2, 10.3])
    capture = CameraCapture(device, "camera 0", clock=lambda: next(stamps))
    for blue in (1, 2, 3):
        device.frames.put(picture(blue))
    for _ in range(4):  # the fourth read begins when the third frame has been kept
        device.taken.get(timeout=5)
    frames = iter(capture)
    first = next(frames)
    device.frames.put(picture(4))
    second = next(frames)
    assert (first[0], first[1][0, 0].tolist()) == (0.0, [0, 0, 3])
    assert (second[0], second[1][0, 0].tolist()) == (pytest.approx(0.1), [0, 0, 4])
    device.frames.put(None)
    capture.close()
    assert device.released


def test_camera_that_goes_away_is_an_error() -> None:
    device = FakeCamera()
    device.frames.put(None)
    with (
        pytest.raises(SourceError, match="camera 3 stopped sending"),
        CameraCapture(device, "camera 3") as capture,
    ):
        next(iter(capture))


def test_stopping_a_camera_waits_for_nothing() -> None:
    device = FakeCamera()
    capture = CameraCapture(device, "camera 0")
    device.taken.get(timeout=60)  # it is being read, and gives nothing
    capture.stop()
    assert list(capture) == []
    assert not device.released
    device.frames.put(None)
    capture.close()
    assert device.released


def test_a_camera_whose_driver_raises_has_gone() -> None:
    device = FakeCamera()

    def broken() -> tuple[bool, None]:
        raise cv2.error("select() timeout")

    device.read = broken  # type: ignore[method-assign]
    with pytest.raises(SourceError, match="stopped sending"), CameraCapture(device, "camera 0") as capture:
        next(iter(capture))
    assert device.released


def test_a_camera_that_cannot_be_set_up_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    device = FakeCamera()

    def broken(*_: object) -> float:
        raise RuntimeError("no such property")

    device.get = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no such property"):
        CameraCapture(device, "camera 0")
    assert device.released
    device.released, device.set = False, broken  # type: ignore[attr-defined]
    monkeypatch.setattr(devices, "_require_node", lambda number, name: None)
    with pytest.raises(RuntimeError, match="no such property"):
        devices.open_camera(0, "camera 0", lambda number: device)  # type: ignore[arg-type, return-value]
    assert device.released
