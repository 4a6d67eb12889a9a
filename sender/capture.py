"""Where pictures come from: a camera, a file or the sample person, all as timed RGB frames."""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Self

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from sender.decoding import Decoding, Upright, first_stamps, picture_stream
from sender.devices import CameraDevice, CameraError, cameras, find_camera, open_camera
from sender.frame_rate import Thinner, announced, usual_rate, without_pauses
from sender.sample import sample_frames
from shared.cores import available, unhurried
from shared.media import open_media
from shared.signalling.hello import SourceKind

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]
Frame = tuple[float, Image]

LARGEST_SIDE = 4096
"""Pixels; a larger frame would take memory and time that a call does not have."""
CAMERA_PATIENCE_S = 5.0
"""A camera that delivers nothing for this long has gone."""
_STILL_FPS = 25.0
"""Of a photograph that is held."""
SAMPLE_FPS = 25.0
SAMPLE_SIZE = 256


class SourceError(Exception):
    """The pictures cannot be had; the message says what was asked for, what is wrong and what to do."""


class Capture(ABC):
    """Timed frames: iterate over (seconds since the first frame, (H, W, 3) uint8 RGB); close when done."""

    kind: Literal["camera", "file", "sample"]
    virtual: bool = False
    """Whether it is a camera that a program gives its pictures."""
    fps: float
    """Nominal rate; the time stamps are what counts."""
    began: float | None = None
    """Seconds of the machine's clock (`time.monotonic`) of the first frame, once it is there; None unless its frames
    are captured by that clock."""
    duration: float | None = None
    """Seconds, or None if it has no end or its end is not known."""

    @property
    def source_kind(self) -> SourceKind:
        """As the other side is told."""
        return "virtual" if self.virtual else self.kind

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames; raises SourceError if there is none or a camera goes away."""

    def stop(self) -> None:
        """End a running iteration without waiting for anything; `close` is still to come. From any thread."""
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Give the source back; a running iteration ends. May be called from any thread and more than once.

        It waits for what has it: not to be called on an event loop.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(spec: str, hold: float | None = None) -> Capture:
    """The capture for `camera:N`, `camera:NAME`, `sample` or the path of a video file. Raises SourceError.

    `hold`: seconds for which a photograph is shown; None: one frame.
    """
    if spec == "sample":
        return SampleCapture()
    if spec.startswith("camera:"):
        try:
            return _open_camera(spec.removeprefix("camera:"))
        except CameraError as error:
            raise SourceError(str(error)) from error
    if not spec or ("://" in spec and not Path(spec).is_file()):
        raise SourceError(f"'{spec}' is no source; give camera:0, the path of a video file, or sample.")
    return FileCapture(Path(spec), hold)


class SampleCapture(Capture):
    """The animated portrait, without end."""

    kind = "sample"
    fps = SAMPLE_FPS

    def __init__(self) -> None:
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        for frame in sample_frames(self.fps, None, SAMPLE_SIZE):
            if self._closed:
                return
            yield frame

    def close(self) -> None:
        self._closed = True


class FileCapture(Capture):
    """A video file by its own time stamps, as its metadata asks for it to be shown; or a photograph, held.

    A picture that stands for long is given again meanwhile; of more than about 60 a second some are left out.
    """

    kind = "file"

    def __init__(self, path: Path, hold: float | None = None) -> None:
        """`hold`: seconds for which the only picture of a file is shown; None: one frame. Raises SourceError."""
        self._path, self._hold = path, hold
        self._container, stream = _open_file(path)
        self._lock = threading.Lock()  # closing a container while another thread decodes crashes the process
        self._closed = False
        with ExitStack() as opened:
            opened.callback(self.close)
            self._decoding, self._upright = Decoding(self._container, stream), Upright(stream.sample_aspect_ratio)
            stream.thread_type, stream.codec_context.thread_count = "AUTO", unhurried(available())
            self.fps = announced(usual_rate(first_stamps(path), float(stream.average_rate or 0)), SAMPLE_FPS)
            length = stream.duration * stream.time_base if stream.duration and stream.time_base else None
            whole = (self._container.duration or 0) / av.time_base or None
            self.duration = float(length) if length is not None else whole
            self._refuse_large(*self._upright.size(stream.width, stream.height))
            opened.pop_all()

    def __iter__(self) -> Iterator[Frame]:
        return without_pauses(self._frames())

    def _frames(self) -> Iterator[Frame]:
        thinner = Thinner()
        decoded = iter(self._decoding)
        first: float | None = None
        count = 0
        last = -1 / self.fps
        while (frame := self._next(decoded)) is not None:
            stamp = frame.time
            if first is None:
                first = stamp or 0.0
            since = last + 1 / self.fps if stamp is None or stamp - first <= last else stamp - first
            last = since
            self._refuse_large(*self._upright.size(frame.width, frame.height))
            count += 1
            if thinner.takes(since):
                picture = self._upright(frame)
                yield since, picture
        if count == 1 and self._decoding.lost == 0:
            yield from self._held(picture)
        if self._closed:
            return
        if first is None:
            raise SourceError(f"'{self._path}' holds no picture that can be decoded; try another file.")
        if self._decoding.lost:
            log.warning(
                "'%s' is damaged: %d packets of its pictures could not be decoded.", self._path, self._decoding.lost
            )
        if count > 1 and self.duration is not None and last + 1 < self.duration:
            log.warning("'%s' is damaged: its pictures end after %.1f s.", self._path, last)

    def stop(self) -> None:
        self._closed = True

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._container.close()

    def _next(self, decoded: Iterator[av.VideoFrame]) -> av.VideoFrame | None:
        with self._lock:
            if self._closed:
                return None
            return next(decoded, None)

    def _held(self, picture: Image) -> Iterator[Frame]:
        """The only picture of a file again and again, for as long as was asked for."""
        if self._hold is None:
            log.warning("'%s' is one picture, and a call of one frame: --seconds S holds it for so long.", self._path)
            return
        for number in range(1, math.ceil(self._hold * _STILL_FPS)):
            if self._closed:
                return
            yield number / _STILL_FPS, picture

    def _refuse_large(self, width: int, height: int) -> None:
        if max(width, height) > LARGEST_SIDE:
            raise SourceError(
                f"'{self._path}' is {width}x{height} pixels; at most {LARGEST_SIDE} a side are taken, scale it down."
            )


class CameraCapture(Capture):
    """The newest frame of a camera, read by a thread of its own: frames that nobody fetched in time are dropped."""

    kind = "camera"

    def __init__(
        self,
        device: CameraDevice,
        name: str = "camera",
        clock: Callable[[], float] = time.monotonic,
        virtual: bool = False,
    ) -> None:
        """Takes over an open device. `clock` stamps the frames as they are read."""
        self.virtual = virtual
        self._device, self._name, self._clock = device, name, clock
        try:
            self.fps = announced(device.get(cv2.CAP_PROP_FPS))
        except BaseException:
            device.release()
            raise
        self._news = threading.Condition()
        self._newest: Frame | None = None
        self._closed = self._gone = False
        self._thread = threading.Thread(target=self._read, name=self._name, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._newest or self._closed or self._gone, CAMERA_PATIENCE_S)
                if self._closed:
                    return
                if self._newest is None:
                    raise SourceError(f"{self._name} stopped sending pictures; check that it is still connected.")
                stamp, rgb = self._newest
                self._newest = None
            self.began = stamp if self.began is None else self.began
            yield stamp - self.began, rgb

    def stop(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()

    def close(self) -> None:
        self.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join(CAMERA_PATIENCE_S)

    def _read(self) -> None:
        thinner = Thinner()
        try:
            while not self._closed:
                ok, bgr = self._device.read()
                if not ok or bgr is None:
                    break
                stamp = self._clock()  # before the picture is turned into another form, which takes its time
                if not thinner.takes(stamp):
                    continue
                rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
                with self._news:
                    self._newest = (stamp, rgb)
                    self._news.notify_all()
        except cv2.error as error:  # some drivers say so that the camera is gone
            log.info("%s failed: %s", self._name, error)
        finally:
            try:
                self._device.release()
            finally:
                with self._news:
                    self._gone = True
                    self._news.notify_all()


def _open_file(path: Path) -> tuple[InputContainer, VideoStream]:
    if not path.is_file():
        raise SourceError(f"there is no file '{path}'; give camera:0, the path of a video file, or sample.")
    if path.stat().st_size == 0:
        raise SourceError(f"'{path}' is empty; was it copied completely?")
    try:
        container = open_media(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"'{path}' cannot be read as a video ({reason}); try another file.") from error
    with ExitStack() as opened:
        opened.callback(container.close)
        stream = picture_stream(container)
        if stream is None:
            raise SourceError(f"'{path}' has no video stream; a file with moving pictures is needed.")
        opened.pop_all()
    return container, stream


def _open_camera(text: str) -> CameraCapture:
    known = cameras() if sys.platform == "linux" or not text.isdecimal() else []  # elsewhere looking opens them all
    camera = find_camera(text, known)
    return CameraCapture(open_camera(camera.number, camera.label), camera.label, virtual=camera.virtual)
