"""Where sound comes from: a microphone or a file, as packets of speech on the clock of the frames."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.container import InputContainer

from sender.capture import Capture, SourceError
from sender.decoding import Decoding, picture_stream
from shared.audio.codec import RATE, Samples
from shared.audio.devices import MicrophoneStream, SoundDeviceError, open_microphone
from shared.audio.echo import EchoCanceller, EchoUnavailable, load
from shared.audio.packetizer import AudioPacketizer, Packet
from shared.media import open_media

log = logging.getLogger(__name__)

BUNDLE_SECONDS = 0.12
"""Time that a bundle with sound spans where every camera frame is sent: that of two packets of speech."""

_HOLE_SECONDS = 0.1
"""Sound that is missing from a file for longer is a hole; less is how files round."""


@dataclass(frozen=True)
class SoundSettings:
    """What sound to send, as asked for on the command line."""

    wanted: bool = True
    """False: none at all."""
    microphone: str | None = None
    """Name or number of one; "default" for the system's; None: the default one if the pictures come from a camera."""
    file: Path | None = None
    """A sound file, or a video file's track, in the place of a microphone."""
    muted: bool = False
    echo_cancellation: bool = True
    """Whether what a speaker plays is taken out of what a microphone hears, where that can be done."""


Played = Callable[[], list[tuple[float, Samples]]]
"""Gives (time at which the first sample is heard, samples) of all that a speaker played since the last call."""


class Sound(ABC):
    """Speech to send; `take` it with every frame."""

    def __init__(self, muted: bool) -> None:
        self.voice = AudioPacketizer(muted)

    @abstractmethod
    def take(self, stamp: float, start: float) -> list[Packet]:
        """What was said up to the frame of `stamp` seconds, which was captured at `start + stamp`."""

    @abstractmethod
    def cancel_echo(self, played: Played, say: Callable[[str], None]) -> None:
        """From now on a speaker can be heard by this source; what it plays is not sent. If it cannot be helped, `say`
        tells."""

    @abstractmethod
    def close(self) -> None:
        """Gives the source back. May be called more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FileSound(Sound):
    """A file's sound, which plays as its frames do, and waits as they do."""

    def __init__(self, path: Path, first_frame: float = 0.0, muted: bool = False) -> None:
        """`first_frame`: seconds of the file at which its pictures begin. Raises SourceError if it has no sound."""
        super().__init__(muted)
        self._path, self._first_frame = path, first_frame
        self._container: InputContainer | None = _open(path)
        self._parts = self._decode(self._container)
        self._next: tuple[float, Samples] | None = None

    def take(self, stamp: float, start: float) -> list[Packet]:
        packets: list[Packet] = []
        while (part := self._next or next(self._parts, None)) is not None:
            at, samples = part
            # As a microphone would have it: what ends after the frame is not there yet.
            count = min(len(samples), max(0, round((stamp - at) * RATE)))
            if count:
                packets += self.voice.feed(samples[:count], start + at)
            self._next = (at + count / RATE, samples[count:]) if count < len(samples) else None
            if self._next is not None:
                break
        return packets

    def cancel_echo(self, played: Played, say: Callable[[str], None]) -> None:
        """Nothing: a file does not hear."""

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None
            self._parts = iter(())

    def _decode(self, container: InputContainer) -> Iterator[tuple[float, Samples]]:
        """(stamp of the first sample, samples) from the first frame on."""
        resampler, decoding = av.AudioResampler("flt", "mono", RATE), Decoding(container, container.streams.audio[0])
        at: float | None = None
        try:
            for frame in decoding:
                time = frame.time
                if at is not None and time is not None and time - self._first_frame - at > _HOLE_SECONDS:
                    at = time - self._first_frame  # what was between is lost, what follows has its own time
                for each in resampler.resample(frame):
                    if at is None:
                        at = (time or 0.0) - self._first_frame
                    samples = np.asarray(each.to_ndarray().reshape(-1), np.float32)
                    early = min(len(samples), max(0, round(-at * RATE)))
                    yield at + early / RATE, samples[early:]
                    at += len(samples) / RATE
        except (av.error.FFmpegError, ValueError):
            log.warning("'%s' is damaged: its sound ends after %.1f s.", self._path, at or 0.0)
        if decoding.lost:
            log.warning("'%s' is damaged: %d packets of its sound could not be decoded.", self._path, decoding.lost)


class MicrophoneSound(Sound):
    """A microphone, on the machine's clock."""

    def __init__(self, stream: MicrophoneStream, muted: bool = False, echo_cancellation: bool = True) -> None:
        super().__init__(muted)
        self._stream, self._cancels = stream, echo_cancellation
        self._echo: EchoCanceller | None = None
        self._played: Played = list

    def take(self, stamp: float, start: float) -> list[Packet]:
        heard = self._stream.read()
        if self._echo is not None:
            for clock, samples in self._played():
                self._echo.play(samples, clock)
            heard = [clean for clock, samples in heard for clean in self._echo.clean(samples, clock)]
        return [packet for clock, samples in heard for packet in self.voice.feed(samples, clock)]

    def cancel_echo(self, played: Played, say: Callable[[str], None]) -> None:
        if not self._cancels:
            return
        try:
            self._echo, self._played = EchoCanceller(load()), played
        except EchoUnavailable as error:
            say(str(error))

    def close(self) -> None:
        self._stream.close()


def open_sound(settings: SoundSettings, source: str, capture: Capture) -> Sound | None:
    """The sound for a call whose pictures are `source`; None if there is none, which a camera's user is told.

    Raises SourceError for what was asked for and cannot be had.
    """
    if not settings.wanted:
        return None
    if settings.file is not None:
        return FileSound(settings.file, muted=settings.muted)
    if settings.microphone is None and capture.kind == "file":
        path = Path(source)
        return FileSound(path, _first_frame(path), settings.muted) if _has_sound(path) else None
    if settings.microphone is None and capture.kind != "camera":
        return None
    try:
        microphone = open_microphone(settings.microphone or "default")
    except SoundDeviceError as error:
        if settings.microphone is not None:
            raise SourceError(str(error)) from error
        log.warning("the call has no sound: %s", error)
        return None
    return MicrophoneSound(microphone, settings.muted, settings.echo_cancellation)


def bundle_with_sound(fps: float) -> int:
    """Frames of motion a message at most. Where one camera frame in two is sent these span twice the time."""
    return max(1, round(BUNDLE_SECONDS * fps))


def _open(path: Path) -> InputContainer:
    if not path.is_file():
        raise SourceError(f"there is no file '{path}'; give the path of a WAV or another file with sound.")
    try:
        container = open_media(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"'{path}' cannot be read as sound ({reason}); try another file.") from error
    if not container.streams.audio:
        container.close()
        raise SourceError(f"'{path}' has no sound; a file with sound is needed.")
    return container


def _has_sound(path: Path) -> bool:
    try:
        with open_media(path) as container:
            return bool(container.streams.audio)
    except (av.error.FFmpegError, OSError, ValueError):
        return False


def _first_frame(path: Path) -> float:
    """Seconds at which the pictures of a file begin."""
    with open_media(path) as container:
        stream = picture_stream(container)
        return 0.0 if stream is None else float((stream.start_time or 0) * (stream.time_base or 0))
