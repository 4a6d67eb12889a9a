"""AV1 intra frames: one picture as one raw SVT-AV1 frame, a sequence header, a frame, nothing else.

With the colours that go in and come out, and what keeps an encoder from holding up the rest: its threads are calm, and
one that hangs is left behind in a thread of its own.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
import av.error
import av.video.codeccontext
import cv2
import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from shared.codec import MalformedPicture
from shared.codec.av1_headers import FRAME, SEQUENCE_HEADER, TEMPORAL_DELIMITER, units

ENCODER = "libsvtav1"
DECODER = "libdav1d"
_PRESET = 4
"""14 % smaller than preset 6; 80 ms instead of 30 at 256x256, off the frame path."""
ENCODE_SECONDS = 10.0
"""After which the encoder hangs: a hundred times what a picture takes, and nobody waits but the source."""
_MOST_UNITS = 3
RgbImage = NDArray[np.uint8]
Planes = NDArray[np.uint8]
"""(3H/2, W) planes of YUV 4:2:0 under each other, as FFmpeg's yuv420p."""
_TO_YUV = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)  # ITU-T T.871 (JFIF), section 7
_TO_RGB = np.linalg.inv(_TO_YUV.astype(np.float64)).astype(np.float32)
_TASKS = Path("/proc/self/task")
T = TypeVar("T")
_Job = tuple[Callable[[], Any], "Future[Any]"]


def available() -> bool:
    """Whether this PyAV can encode pictures."""
    return ENCODER in av.codecs_available and decodable()


def decodable() -> bool:
    """Whether this PyAV can decode pictures."""
    return DECODER in av.codecs_available


def encode(rgb: RgbImage, crf: int) -> bytes:
    """The OBUs of one intra frame; rgb is (H, W, 3) with even sides, crf 1 (best) to 63. Raises EncoderStuck."""
    within = Bounded(ENCODER, ENCODE_SECONDS)
    try:
        stream = within(lambda: encoded(rgb, crf))
    finally:
        within.end()
    return b"".join(obu for kind, obu, _ in _units(stream) if kind != TEMPORAL_DELIMITER)


def encoded(rgb: RgbImage, crf: int) -> bytes:
    """What SVT-AV1 makes of a picture."""
    # SVT-AV1 reads its log level only from the environment and prints a banner for every encoder otherwise.
    os.environ.setdefault("SVT_LOG", "1")
    height, width = rgb.shape[:2]
    context = av.CodecContext.create(ENCODER, "w")
    assert isinstance(context, av.video.codeccontext.VideoCodecContext)
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.color_range = ColorRange.JPEG
    context.time_base = Fraction(1, 25)
    context.options = {"crf": str(crf), "preset": str(_PRESET), "svtav1-params": "lp=1:avif=1"}
    context.open()
    calm_threads()
    frame = av.VideoFrame.from_ndarray(to_planes(rgb), format="yuv420p")
    frame.color_range = ColorRange.JPEG
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def decode(data: bytes, width: int, height: int) -> RgbImage:
    """The (height, width, 3) picture. Raises MalformedPicture if the data is anything but one frame of that size."""
    obus = [obu for obu in _units(data) if obu[0] != TEMPORAL_DELIMITER]
    if [kind for kind, _, _ in obus] != [SEQUENCE_HEADER, FRAME]:
        raise MalformedPicture("an AV1 picture is one sequence header and one frame, something else arrived")
    announced = _still_picture_size(obus[0][2])
    if announced != (width, height):
        raise MalformedPicture(f"an AV1 picture of {announced} arrived where {(width, height)} was announced")
    if not decodable():
        raise MalformedPicture(f"an AV1 picture arrived, and PyAV here has no {DECODER}: install PyAV from PyPI")
    context = av.CodecContext.create(DECODER, "r")
    assert isinstance(context, av.video.codeccontext.VideoCodecContext)
    context.thread_count = 1
    context.options = {"max_pixels": str(width * height)}
    try:
        frames = [*context.decode(av.Packet(b"".join(obu for _, obu, _ in obus))), *context.decode(None)]
    except av.error.FFmpegError as error:
        raise MalformedPicture(f"an AV1 picture cannot be decoded: {error.strerror}") from error
    if len(frames) != 1:
        raise MalformedPicture(f"an AV1 picture held {len(frames)} frames, expected one")
    frame = frames[0]
    if (frame.width, frame.height) != (width, height) or frame.format.name not in ("yuv420p", "yuvj420p"):
        raise MalformedPicture(f"an AV1 picture decoded to {frame.width}x{frame.height} {frame.format.name}")
    return to_rgb(np.asarray(frame.to_ndarray(), np.uint8))


def _units(data: bytes) -> list[tuple[int, bytes, bytes]]:
    return units(data, _MOST_UNITS, MalformedPicture)


def _still_picture_size(header: bytes) -> tuple[int, int]:
    """Width and height in a reduced still-picture sequence header (specification, 5.5.1)."""
    bits = "".join(f"{byte:08b}" for byte in header[:8].ljust(8, b"\0"))
    if bits[:5] != "00011":
        raise MalformedPicture("an AV1 picture must be a main-profile still picture")
    width_bits, height_bits = int(bits[10:14], 2) + 1, int(bits[14:18], 2) + 1
    middle = 18 + width_bits
    return int(bits[18:middle], 2) + 1, int(bits[middle : middle + height_bits], 2) + 1


def to_planes(rgb: RgbImage) -> Planes:
    """(3H/2, W) planes of full-range YUV 4:2:0 of an (H, W, 3) picture with even sides."""
    height, width = rgb.shape[:2]
    yuv = rgb.astype(np.float32) @ _TO_YUV.T + np.array([0, 128, 128], np.float32)
    chroma = yuv[..., 1:].reshape(height // 2, 2, width // 2, 2, 2).mean((1, 3))
    planes = np.concatenate([yuv[..., 0].reshape(-1), chroma[..., 0].reshape(-1), chroma[..., 1].reshape(-1)])
    return np.asarray(np.clip(np.rint(planes), 0, 255), np.uint8).reshape(height * 3 // 2, width)


def to_rgb(planes: Planes) -> RgbImage:
    """Inverse of `to_planes`, chroma interpolated."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    full = [cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR) for c in chroma.astype(np.float32)]
    yuv = np.stack([planes[:height].astype(np.float32), full[0] - 128, full[1] - 128], axis=-1)
    return np.asarray(np.clip(np.rint(yuv @ _TO_RGB.T), 0, 255), np.uint8)


def calm_threads() -> None:
    """Threads of this process go back to the usual scheduling: as root SVT-AV1 makes its own real-time ones, before
    which everything else on the machine waits. To be called when an encoder has been opened."""
    if not hasattr(os, "sched_getscheduler") or not _TASKS.is_dir():
        return
    for task in _TASKS.iterdir():
        try:
            if os.sched_getscheduler(int(task.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
        except (ProcessLookupError, PermissionError):  # it has ended, or is not ours to change
            continue


class EncoderStuck(RuntimeError):
    """An encoder did not come back in time: it is not to be used any more, and another one may do."""


class Bounded:
    """Does one thing after the other in a thread, and waits for each only so long."""

    def __init__(self, name: str, seconds: float) -> None:
        """`name`: of what works there, for errors."""
        self._name, self._seconds = name, seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
        self._thread.start()
        self.stuck = False
        """Whether something did not come back: nothing more can be done here."""

    def __call__(self, work: Callable[[], T]) -> T:
        """The result of some work. Raises EncoderStuck, and what the work does."""
        if threading.current_thread() is self._thread:  # what the collector of garbage ends may end here
            return work()
        done: Future[T] = Future()
        if not self.stuck:
            self._jobs.put((work, done))
            try:
                return done.result(self._seconds)
            except TimeoutError:
                if done.done():  # it is the work's own
                    raise
        self.stuck = True
        raise EncoderStuck(f"{self._name} did not come back within {self._seconds:g} s")

    def end(self) -> None:
        """Ends the thread once its work is done."""
        self._jobs.put(None)


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while True:
        job = jobs.get()
        if job is None:
            return
        _do(*job)
        del job  # it would hold a picture until the next comes


def _do(work: Callable[[], Any], done: Future[Any]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:
        done.set_exception(error)
