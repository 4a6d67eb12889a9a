"""Microphones and speakers, through `sounddevice`, which is imported only when one is asked for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from shared.audio.codec import RATE, Samples
from shared.audio.resampling import Resampler

_LONGEST_SECONDS = 2.0
"""Sound that waits longer than this to be taken is dropped, the oldest first."""
_BLOCK = RATE // 50
Callback = Callable[[Any, int, Any, object], None]
"""Takes or fills (N, channels) samples; sounddevice's."""


class SoundDeviceError(Exception):
    """There is no such microphone or speaker, or it cannot be used; the message says why and what to do."""


def load() -> ModuleType:
    """The sounddevice package. Raises SoundDeviceError if it, or PortAudio, is not there."""
    try:
        import sounddevice
    except ImportError as error:
        raise SoundDeviceError(
            "microphone and speaker need the sounddevice package, which is not installed: pip install 'pinhole[audio]'"
        ) from error
    except OSError as error:
        raise SoundDeviceError(
            "the PortAudio library is missing, which microphone and speaker need: install it (Debian, Ubuntu: apt "
            "install libportaudio2; Fedora: dnf install portaudio)"
        ) from error
    module: ModuleType = sounddevice
    return module


def names(kind: str) -> list[tuple[int, str]]:
    """(number, name) of every device; `kind` is input or output. Raises SoundDeviceError."""
    sounddevice = load()
    try:
        found = sounddevice.query_devices()
    except sounddevice.PortAudioError as error:
        raise SoundDeviceError(f"the sound devices cannot be listed ({error}): is the sound system running?") from error
    return [(n, str(each["name"])) for n, each in enumerate(found) if each[f"max_{kind}_channels"] > 0]


def find(device: str, kind: str) -> int | None:
    """The number of a device given by number or part of its name; None for the default one. Raises SoundDeviceError."""
    if device == "default":
        return None
    known = names(kind)
    if device.isdecimal() and int(device) in dict(known):
        return int(device)
    matching = [number for number, name in known if device.lower() in name.lower()]
    if not device.isdecimal() and matching:
        return matching[0]
    what = "microphone" if kind == "input" else "speaker"
    there = ", ".join(f"{number} ({name})" for number, name in known) or "none"
    raise SoundDeviceError(f"there is no {what} '{device}'; there are: {there}.")


def _stream(sounddevice: Any, make: Any, number: int | None, kind: str, callback_for: Callable[[int], Callback]) -> Any:
    """A mono stream at RATE, or at the device's own rate if that is the only one it takes. Raises PortAudioError."""
    try:
        return make(RATE, _BLOCK, number, 1, "float32", latency="low", callback=callback_for(RATE))
    except sounddevice.PortAudioError:
        rate = round(sounddevice.query_devices(number, kind)["default_samplerate"])
        if rate == RATE:
            raise
        return make(rate, rate // 50, number, 1, "float32", latency="low", callback=callback_for(rate))


class TimedBlocks:
    """Blocks of samples with the time of their first one, from a device's own thread to another."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[float, Samples]] = deque(maxlen=round(_LONGEST_SECONDS * RATE / _BLOCK))
        self._lock = threading.Lock()

    def put(self, samples: Samples, after: float) -> None:
        """Takes in samples of which the first is heard `after` seconds from now."""
        clock = time.monotonic() + after
        with self._lock:
            self._blocks.append((clock, samples))

    def take(self) -> list[tuple[float, Samples]]:
        """(time.monotonic() of the first sample, samples) of all that was put since the last call."""
        with self._lock:
            blocks = list(self._blocks)
            self._blocks.clear()
        return blocks


class _Device:
    """A device's stream, from its start on."""

    def __init__(self) -> None:
        self._stream: Any = None

    def start(self, stream: Any) -> None:
        """Takes over a stream that calls this object, and starts it; one that does not start is closed."""
        self._stream = stream
        try:
            stream.start()
            self._started(stream)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives the device back. May be called more than once."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _started(self, stream: Any) -> None:
        """Notes what a stream tells only once it runs."""


class MicrophoneStream(_Device):
    """What a microphone hears, with the time at which it was heard."""

    def __init__(self) -> None:
        super().__init__()
        self._heard = TimedBlocks()

    def heard(self, samples: Samples, ago: float) -> None:
        """Takes in samples of which the first was heard `ago` seconds before; called in the device's own thread."""
        self._heard.put(samples, -ago)

    def read(self) -> list[tuple[float, Samples]]:
        """(time.monotonic() of the first sample, samples) of all that was heard since the last call."""
        return self._heard.take()


def open_microphone(device: str) -> MicrophoneStream:
    """A running microphone: "default", a number, or part of a name. Raises SoundDeviceError."""
    sounddevice, number, microphone = load(), find(device, "input"), MicrophoneStream()

    def taking(rate: int) -> Callback:
        converted = Resampler(rate, RATE)

        def take(data: Any, frames: int, times: Any, status: object) -> None:
            ago = times.currentTime - times.inputBufferAdcTime
            # Some systems tell no times: then the block has just ended.
            since = ago if 0 < ago < 1 else frames / rate
            samples = np.array(data[:, 0], np.float32)
            microphone.heard(samples if rate == RATE else converted(samples), since)

        return take

    try:
        microphone.start(_stream(sounddevice, sounddevice.InputStream, number, "input", taking))
    except (sounddevice.PortAudioError, ValueError) as error:
        raise SoundDeviceError(
            f"the microphone cannot be used ({error}): check that it is connected and permitted, or choose another one "
            "with --microphone"
        ) from error
    return microphone


class Speaker(_Device):
    """Plays what it is given, in order, and silence when there is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.latency = 0.0
        """Seconds from the moment the device takes a sample until it is heard."""
        self._parts: deque[Samples] = deque()
        self._queued = 0
        self._lock = threading.Lock()
        self._played = TimedBlocks()

    @property
    def queued(self) -> float:
        """Seconds of sound that the device has not taken yet."""
        with self._lock:
            return self._queued / RATE

    def write(self, samples: Samples) -> None:
        """Adds samples at the end."""
        with self._lock:
            self._parts.append(samples)
            self._queued += len(samples)

    def played(self) -> list[tuple[float, Samples]]:
        """(time.monotonic() at which the first sample is heard, samples) of all that the device took since the last
        call, silence included."""
        return self._played.take()

    def read(self, count: int, ahead: float = 0.0) -> Samples:
        """The next samples, heard from `ahead` seconds on; silence after the last one. Called in the device's own
        thread."""
        out = np.zeros(count, np.float32)
        at = 0
        with self._lock:
            while at < count and self._parts:
                part = self._parts.popleft()
                taken = min(len(part), count - at)
                out[at : at + taken] = part[:taken]
                if taken < len(part):
                    self._parts.appendleft(part[taken:])
                at += taken
            self._queued -= at
        self._played.put(out, ahead)
        return out

    def _started(self, stream: Any) -> None:
        self.latency = float(stream.latency)


def open_speaker(device: str) -> Speaker:
    """A running speaker: "default", a number, or part of a name. Raises SoundDeviceError."""
    sounddevice, number, speaker = load(), find(device, "output"), Speaker()

    def giving(rate: int) -> Callback:
        converted, ready = Resampler(RATE, rate), np.zeros(0, np.float32)

        def give(data: Any, frames: int, times: Any, status: object) -> None:
            nonlocal ready
            ahead = times.outputBufferDacTime - times.currentTime
            ahead = ahead if 0 < ahead < 1 else speaker.latency
            if rate == RATE:
                data[:, 0] = speaker.read(frames, ahead)
                return
            while (missing := frames - len(ready)) > 0:
                played = speaker.read(missing * RATE // rate + 1, ahead + len(ready) / rate)
                ready = np.concatenate([ready, converted(played)])
            data[:, 0], ready = ready[:frames], ready[frames:]

        return give

    try:
        speaker.start(_stream(sounddevice, sounddevice.OutputStream, number, "output", giving))
    except (sounddevice.PortAudioError, ValueError) as error:
        raise SoundDeviceError(
            f"the speaker cannot be used ({error}): check that it is connected, or choose another one with --speaker"
        ) from error
    return speaker
