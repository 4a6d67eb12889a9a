"""The timeline of a recording: where each picture belongs by the sender's clock, not by counting, and its sound."""

from __future__ import annotations

import wave
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from receiver.output.recorder import Recorder, RecordError, check_place
from shared.audio.codec import RATE, Samples
from shared.audio.jitter import AudioJitterBuffer
from shared.files import WAVE, PartFile

LEAST_RATE = 5.0
"""Frames a second of a recording at least, so that a camera that announces less is placed well."""
_SET_BACK = 0.5
"""Seconds: what is captured so much before the picture before it has another clock."""
LAG_SECONDS = 0.5
"""Sound is written so much after its picture: packets that came too late to be heard are in the recording."""


def film_rate(fps: float) -> float:
    """Frames a second of the recording of a call that announces `fps`: a whole multiple of them."""
    return fps * ceil(LEAST_RATE / fps)


class Places:
    """Places of pictures, counted in frames from the beginning of the recording."""

    def __init__(self, rate: float, longest_gap: int) -> None:
        """`rate`: frames a second; `longest_gap`: frames that a hole between two pictures lasts at most."""
        self._rate, self._longest_gap = rate, longest_gap
        self.origin: float | None = None
        """Capture at the beginning of the recording."""
        self.last = -1

    def step(self, first: int, capture: float) -> int:
        """The place of a picture captured at `capture` seconds: that of the one before if it has none of its own.

        The first picture is at `first`, and those before it are taken to look alike.
        """
        if self.origin is None:
            self.last = max(first, 0)
            self.origin = capture - self.last / self._rate
            return self.last
        ahead = round((capture - self.origin) * self._rate) - self.last
        if ahead < -_SET_BACK * self._rate or ahead > self._longest_gap:  # another clock, or the hole is made shorter
            self.last += 1 if ahead < 0 else self._longest_gap
            self.origin = capture - self.last / self._rate
        else:
            self.last += max(ahead, 0)
        return self.last


class RecordedSound:
    """Places pictures on the sender's clock, and gives the sound that goes with them."""

    def __init__(self, rate: float, longest_gap: int) -> None:
        """`rate`, `longest_gap`: see `Places`."""
        self.track = AudioJitterBuffer()
        self._rate, self._places = rate, Places(rate, longest_gap)
        self._samples = 0

    def push(self, data: bytes, clock: float) -> None:
        """Takes in a packet captured at `clock` seconds, as the frames' playout counts them."""
        self.track.push(data, clock)

    def step(self, first: int, capture: float) -> tuple[int, Samples]:
        """For the frame captured at `capture`: its place (see `Places.step`), and the sound that can be written now."""
        place = self._places.step(first, capture)
        return place, self._up_to((place + 1) / self._rate - LAG_SECONDS)

    def finish(self) -> Samples:
        """The sound of the last pictures."""
        return self._up_to((self._places.last + 1) / self._rate)

    def _up_to(self, seconds: float) -> Samples:
        """The sound up to this place in the recording."""
        count, origin = round(seconds * RATE) - self._samples, self._places.origin
        if origin is None or count <= 0:
            return np.zeros(0, np.float32)
        place = origin + self._samples / RATE
        if abs(self.track.at - place) > 1 / RATE:
            self.track.seek(place)
        self._samples += count
        return self.track.read(count)


class WavFile:
    """A WAV file, mono, 16 bits; good after every write. It begins with the first samples."""

    def __init__(self, path: Path) -> None:
        """Raises RecordError if it cannot be written."""
        check_place(path, WAVE)
        self.path = path
        self._part: PartFile | None = None
        self._file: wave.Wave_write | None = None
        self._closed = False

    def write(self, samples: Samples) -> None:
        """Appends samples. Raises RecordError if the disk refuses them."""
        if self._closed or not len(samples):
            return
        try:
            if self._file is None:
                self._file = self._begin()
            self._file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        except OSError as error:
            self._closed = True
            if self._part is None:
                raise RecordError(str(error)) from error
            raise RecordError(
                f"'{self.path}' cannot be written ({error.strerror}); is the disk full? What came before is in "
                f"'{self._part.path}'."
            ) from error

    def close(self) -> None:
        """Ends the file and puts it in its place, if it is whole. May be called more than once. Raises RecordError."""
        if self._closed or self._file is None or self._part is None:
            return
        self._closed = True
        try:
            self._file.close()
            self._part.keep()
        except OSError as error:
            raise RecordError(str(error)) from error

    def _begin(self) -> wave.Wave_write:
        self._part = PartFile(self.path)
        file: wave.Wave_write = wave.open(str(self._part.path), "wb")  # noqa: SIM115
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not self._closed and self._part is not None:
            self._part.discard()  # a film that cannot be drawn has no sound either
            self._closed = True
        self.close()


def keep_sound(samples: Samples, film: Recorder | None, wav: WavFile | None) -> None:
    """Appends sound to what records it. Raises RecordError."""
    if wav is not None:
        wav.write(samples)
    if film is not None:
        film.write_sound(samples)
