"""The recorder writes the reconstructed pictures, and the sound (AAC), to an MP4 file that plays even if the process is
killed.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from shared.audio.codec import RATE, Samples
from shared.files import FILM, PartFile, PlaceError
from shared.media import create_media

BIT_RATE = 48_000
_FRAME = 1024
_PRIMING = 1024
"""Samples that AAC puts in front. A fragmented file cannot say that they are to be skipped, and the pictures would be
shifted for them: as many of the first samples are left out instead."""
log = logging.getLogger(__name__)
COMMENT = "synthetic: reconstructed by Pinhole"
FLAGS = "frag_keyframe+empty_moov+default_base_moof"
FRAGMENT_FRAMES = 25
"""Frames per fragment: what a killed process loses at most, beside what the encoder still holds."""
_WORTH_KEEPING = 2 * FRAGMENT_FRAMES
"""Frames after which a fragment is on the disk."""
_SOUND_KEPT_SECONDS = 30
"""Sound kept at most until the first picture comes; the oldest goes first."""


class SoundStream:
    """One track of a container, sample after sample from the film's beginning."""

    def __init__(self, container: av.container.OutputContainer) -> None:
        """Adds the track; before the container's first packet."""
        stream = container.add_stream("aac", rate=RATE)
        stream.bit_rate, stream.layout, stream.format = BIT_RATE, "mono", "fltp"
        self._container, self._stream = container, stream
        self._waiting = np.zeros(0, np.float32)
        self._skip = _PRIMING
        self._at = _PRIMING

    def write(self, samples: Samples) -> None:
        """Appends samples. Raises FFmpegError or OSError if the disk refuses them."""
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        self._waiting = np.concatenate([self._waiting, samples[skipped:]])
        while len(self._waiting) >= _FRAME:
            self._encode(self._waiting[:_FRAME])
            self._waiting = self._waiting[_FRAME:]

    def finish(self) -> None:
        """Writes what waits. Raises FFmpegError or OSError."""
        if len(self._waiting):
            self._encode(self._waiting)
            self._waiting = self._waiting[:0]
        self._container.mux(self._stream.encode(None))

    def _encode(self, samples: Samples) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
        self._at += len(samples)
        self._container.mux(self._stream.encode(frame))


class RecordError(Exception):
    """The recording cannot be written; the message says why and what to do."""


class Recorder:
    """An H.264 MP4 at a constant frame rate, marked as synthetic in its metadata."""

    def __init__(
        self, path: str | Path, fps: float, size: int | tuple[int, int], sound: bool = False,
        origin: str = "", title: str = "Pinhole call",
    ) -> None:  # fmt: skip
        """`size`: side of the square pictures, or (width, height); both even. The file appears with the first frame.

        `sound`: whether it has a track of sound, which is for `write_sound`. `origin`: what to say in the metadata of
        where the pictures come from. `title`: the film's, in the metadata.

        Raises RecordError if the place cannot be written or the size cannot be coded.
        """
        self.path = Path(path)
        self.frames = 0
        self._comment, self._title = COMMENT + origin, title
        self._width, self._height = (size, size) if isinstance(size, int) else size
        self._rate = Fraction(fps).limit_denominator(1001)
        self._part: PartFile | None = None
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._with_sound = sound
        self._sound: SoundStream | None = None
        self._early = np.zeros(0, np.float32)  # sound that came before the first picture
        self._early_dropped = 0
        self._closed = False
        if self._rate <= 0 or self._width < 2 or self._height < 2 or self._width % 2 or self._height % 2:
            raise RecordError(
                f"cannot record {self._width}x{self._height} at {fps} fps; the sides must be even, the rate positive."
            )
        check_place(self.path, FILM)

    def write(self, rgb: NDArray[np.uint8]) -> None:
        """Append one (height, width, 3) uint8 RGB picture. Raises RecordError if the disk refuses it."""
        if self._closed:
            raise RecordError(f"the recording '{self.path}' is closed; no picture can be added.")
        if rgb.shape != (self._height, self._width, 3) or rgb.dtype != np.uint8:
            raise RecordError(
                f"a picture {rgb.shape} of {rgb.dtype} came into a recording of {self._width}x{self._height} uint8 RGB."
            )
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts = self.frames
        frame.time_base = 1 / self._rate
        try:
            if self._container is None or self._stream is None:
                self._container, self._stream = self._start()
            self._container.mux(self._stream.encode(frame))
        except PlaceError as error:
            raise RecordError(str(error)) from error
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        self.frames += 1

    def write_sound(self, samples: Samples) -> None:
        """Append sound, which begins where the pictures do; up to half a minute of it may come before the first one.

        Raises RecordError if the disk refuses it.
        """
        if not self._with_sound or self._closed:
            return
        if self._sound is None:
            self._early = np.concatenate([self._early, samples])
            self._drop_early(len(self._early) - _SOUND_KEPT_SECONDS * RATE)
            return
        try:
            self._sound.write(samples)
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def begin_at(self, seconds: float) -> None:
        """Leave out the sound of so many first seconds, whose pictures are left out; before the first picture."""
        if self._sound is None:
            self._drop_early(round(seconds * RATE) - self._early_dropped)

    def close(self) -> None:
        """Finish the file and put it in its place. Without any picture there is none, which is logged.

        May be called more than once. Raises RecordError if the disk refuses the end.
        """
        if self._closed:
            return
        self._closed = True
        if self._container is None or self._stream is None or self._part is None:
            log.warning("No picture arrived, so nothing was recorded to '%s'.", self.path)
            return
        try:
            self._container.mux(self._stream.encode())
            if self._sound is not None:
                self._sound.finish()
            self._container.close()
            self._part.keep()
        except PlaceError as error:
            raise RecordError(str(error)) from error
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def discard(self) -> None:
        """End the recording and take it away, unless it was closed or could not be written."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(av.error.FFmpegError, OSError):
            if self._container is not None:
                self._container.close()
        if self._part is not None:
            self._part.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Ctrl-C is no Exception: what was recorded until then plays
        if isinstance(error, Exception) or (error is not None and not self.frames):
            self.discard()
        else:
            self.close()

    def _start(self) -> tuple[av.container.OutputContainer, av.VideoStream]:
        options = {"movflags": FLAGS, "flush_packets": "1"}
        self._part = PartFile(self.path)
        container = create_media(self._part.path, "mp4", options)
        container.metadata["title"] = self._title
        container.metadata["comment"] = self._comment
        stream = container.add_stream("libx264", rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = self._width, self._height, "yuv420p"
        stream.codec_context.gop_size = FRAGMENT_FRAMES
        # Short look-ahead and no B-frames: a killed process takes few pictures with it.
        stream.options = {"crf": "18", "preset": "veryfast", "rc-lookahead": "5", "bf": "0", "threads": "1"}
        if self._with_sound:
            self._sound = SoundStream(container)
            self._sound.write(self._early)
        return container, stream

    def _failed(self, error: Exception) -> RecordError:
        """The disk refused something: what was written before stays under its other name, if it can be played."""
        self._closed = True
        assert self._part is not None
        with contextlib.suppress(av.error.FFmpegError, OSError):
            if self._container is not None:
                self._container.close()
        kept = self.frames > _WORTH_KEEPING
        if not kept:
            self._part.discard()
        reason = getattr(error, "strerror", None) or error
        return RecordError(
            f"'{self.path}' cannot be written ({reason}); is the disk full?"
            + (f" What came before is in '{self._part.path}'." if kept else "")
        )

    def _drop_early(self, count: int) -> None:
        if count > 0:
            self._early = self._early[count:]
            self._early_dropped += count


def check_place(path: Path, endings: Sequence[str]) -> None:
    """Raises RecordError for a path where no recording can be written, or whose name has none of these endings."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # /dev/null takes everything
    if path.suffix.lower() not in endings and not path.is_dir():
        raise RecordError(f"'{path}' would hold {endings[0]}; name it {path.with_suffix(endings[0]).name}.")
    folder = path.parent
    if not folder.is_dir():
        raise RecordError(f"the folder '{folder}' for the recording does not exist; create it first.")
    if path.is_dir():
        raise RecordError(f"'{path}' is a folder; give the name of a file, such as call.mp4.")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise RecordError(f"'{path}' cannot be written; choose a place where you have write permission.")
