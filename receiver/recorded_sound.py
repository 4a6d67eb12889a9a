"""The sound of a recording: what was captured with the pictures in it, whatever the receiver's own delay was."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Self

import numpy as np

from receiver.places import Places
from receiver.record import Recorder, RecordError, check_place
from receiver.sound_track import SoundTrack
from shared.sound.codec import RATE, Samples

LAG_SECONDS = 0.5
"""Sound is written so much after its picture: packets that came too late to be heard are in the recording."""


class RecordedSound:
    """Places pictures on the sender's clock, and gives the sound that goes with them."""

    def __init__(self, rate: float, longest_gap: int) -> None:
        """`rate`, `longest_gap`: see `Places`."""
        self.track = SoundTrack()
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
    """A WAV file, mono, 16 bits; good after every write."""

    def __init__(self, path: Path) -> None:
        """Raises RecordError if it cannot be written."""
        check_place(path)
        self.path = path
        try:
            self._file = wave.open(str(path), "wb")  # noqa: SIM115
        except OSError as error:
            raise RecordError(f"'{path}' cannot be written ({error.strerror}); choose another place.") from error
        self._file.setnchannels(1)
        self._file.setsampwidth(2)
        self._file.setframerate(RATE)

    def write(self, samples: Samples) -> None:
        """Appends samples. Raises RecordError if the disk refuses them."""
        try:
            self._file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        except OSError as error:
            raise RecordError(f"'{self.path}' cannot be written ({error}); is the disk full?") from error

    def close(self) -> None:
        """Ends the file. May be called more than once."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def keep_sound(samples: Samples, film: Recorder | None, wav: WavFile | None) -> None:
    """Appends sound to what records it. Raises RecordError."""
    if wav is not None:
        wav.write(samples)
    if film is not None:
        film.write_sound(samples)
