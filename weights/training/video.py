"""Pictures as small H.264 files: written with PyAV where clips are packed, read with OpenCV where training runs.

Planes go from file to file as they are; only the reader turns them into RGB, as it does with the clips themselves.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_RATE = 25


def read_planes(path: Path, size: int) -> Iterator[Any]:
    """The frames of a file as PyAV's yuv420p frames of `size` px. Raises ValueError if it is no video."""
    import av  # a machine that trains has none
    import av.error

    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "NONE"
            for frame in container.decode(video=0):
                yield frame.reformat(width=size, height=size, format="yuv420p")
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"{path.name} could not be read as a video: {error}") from error


def luma(frame: Any) -> Bytes:
    """(S, S) brightness of a frame of `read_planes`."""
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def planes_of(pictures: Iterable[Bytes]) -> Iterator[Any]:
    """PyAV's frames of (S, S, 3) RGB pictures."""
    import av

    for picture in pictures:
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        yield rgb.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")


def encoded(frames: Sequence[Any], crf: float, intra: bool = False, preset: str = "slow") -> bytes:
    """An MP4 file of square frames as `read_planes` and `planes_of` give them; `intra`: each frame by itself."""
    import av

    file = io.BytesIO()
    options = {"crf": f"{crf:g}", "preset": preset, "x264-params": "scenecut=0:open-gop=0"}
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=_RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        stream.codec_context.gop_size = 1 if intra else 250
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace = frames[0].colorspace
        stream.codec_context.color_range = frames[0].color_range
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, _RATE), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def decoded(data: bytes, count: int, folder: Path | None = None) -> Iterator[Bytes]:
    """(S, S, 3) RGB of each of `count` frames of an MP4 file. `folder`: for a copy, since OpenCV reads files only.

    Raises ValueError if there are fewer or more.
    """
    with tempfile.NamedTemporaryFile(suffix=".mp4", dir=folder) as file:
        file.write(data)
        file.flush()
        capture = cv2.VideoCapture(file.name)
        found = 0
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            found += 1
            if found <= count:
                yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        capture.release()
    if found != count:
        raise ValueError(f"a packed video holds {found} frames that OpenCV can read, not {count}: pack again")
