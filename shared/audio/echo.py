"""Echo cancellation with noise suppression and gain control: WebRTC's audio processing module, fed by two devices.

Its reference is what a speaker plays, by the time at which it is heard, on the microphone's clock.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

import numpy as np

from shared.audio.codec import RATE, Samples
from shared.audio.resampling import SampleClock, between

KEPT_SECONDS = 3.0
"""As long as a microphone keeps what was not read yet, and a second more."""
_SEAM_SECONDS = 0.02
"""A reader that is farther off than this is put right at once."""
_FOLLOW_SECONDS = 4.0
"""A smaller difference is taken up in this time, by reading a little faster or slower."""
_MOST_DRIFT = 0.001
PACKAGE = "pywebrtc_audio"
FRAME = RATE // 100
LEAD_SECONDS = 0.04
"""The far end is read by so much early: an echo that comes before its sound, as times have it where a device says too
long a latency, cannot be cancelled; one that comes later is found."""
MOST_WAIT_SECONDS = 0.15
"""What a speaker plays is awaited for so long; one that says nothing for longer has stopped."""
LAG_SECONDS = 719 / RATE
"""By how much the module's sound comes late: its filter banks, of echo canceller and noise suppressor."""
_MOST_GAIN_DB = 6.0
"""For quiet microphones. The module's own bound is 50 dB, and until somebody speaks it raises what is left of the echo
by as much as it may."""


class FarEnd:
    """Keeps what is played, and reads it by time."""

    def __init__(self) -> None:
        self._clock = SampleClock()
        self._kept = np.zeros(0, np.float32)
        self._end = 0
        """Number of the sample after the last one kept."""
        self._at: float | None = None
        """Number of the sample that is read next."""

    @property
    def until(self) -> float:
        """The time, in seconds, up to which it is known what is heard; -inf before the first block."""
        return self._clock.next if self._end else float("-inf")

    def add(self, samples: Samples, clock: float) -> None:
        """Takes in what is played next; its first sample is heard at `clock` seconds."""
        if self._clock.add(len(samples), clock):
            self._kept, self._at = np.zeros(0, np.float32), None
        self._kept = np.concatenate([self._kept, samples])[-round(KEPT_SECONDS * RATE) :]
        self._end += len(samples)

    def read(self, clock: float, count: int) -> Samples:
        """`count` samples, of which the first is heard at `clock`; silence where nothing is known."""
        wanted = self._end + (clock - self._clock.next) * RATE
        if self._at is None or abs(wanted - self._at) > _SEAM_SECONDS * RATE:
            self._at = wanted
        drift = (wanted - self._at) / (_FOLLOW_SECONDS * RATE)
        step = 1 + min(max(drift, -_MOST_DRIFT), _MOST_DRIFT)
        positions = self._at - (self._end - len(self._kept)) + step * np.arange(count)
        self._at += step * count
        return between(self._kept, positions)


class EchoUnavailable(Exception):
    """The package for echo cancellation is not there; the message says what to do."""


class Processor(Protocol):
    """Cleans sound; `pywebrtc_audio.AudioProcessor` for one."""

    def process(self, near: Samples, far: Samples) -> Samples:
        """The clean sound of (N,) samples, N a multiple of FRAME, while `far` is heard."""


def available() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def load() -> Processor:
    """The module, for one microphone and one speaker. Raises EchoUnavailable if it is not installed."""
    try:
        import pywebrtc_audio
    except ImportError as error:
        raise EchoUnavailable(
            "there is no echo cancellation, so with loudspeakers the other side hears itself: wear headphones, or "
            "pip install 'pinhole[audio]'"
        ) from error
    processor: Any = pywebrtc_audio.AudioProcessor(
        sample_rate=RATE,
        echo_cancellation=True,
        noise_suppression=True,
        auto_gain_control=True,
        agc_max_gain_db=_MOST_GAIN_DB,
    )
    loaded: Processor = processor
    return loaded


class EchoCanceller:
    """Takes what a speaker plays out of what a microphone hears."""

    def __init__(self, processor: Processor) -> None:
        self._processor, self._far = processor, FarEnd()
        self._plays = False
        self._clock = SampleClock()
        self._waiting = np.zeros(0, np.float32)

    def play(self, samples: Samples, clock: float) -> None:
        """Takes in what the speaker plays next; its first sample is heard at `clock` seconds."""
        self._far.add(samples, clock)
        self._plays = True

    def clean(self, samples: Samples, clock: float) -> list[tuple[float, Samples]]:
        """(capture of the first sample, clean samples) of what is ready.

        `clock`: capture of the first of `samples`, in seconds. Sound is ready when it is known what is heard with it.
        """
        if self._clock.add(len(samples), clock):
            self._waiting = np.zeros(0, np.float32)
        self._waiting = np.concatenate([self._waiting, samples])
        begin = self._clock.next - len(self._waiting) / RATE
        ready = len(self._waiting)
        if self._plays:
            known = max(0, int((self._far.until - LEAD_SECONDS - begin) * RATE))
            self._plays = ready - known <= MOST_WAIT_SECONDS * RATE
            ready = min(ready, known) if self._plays else ready
        count = ready - ready % FRAME
        if not count:
            return []
        near, self._waiting = self._waiting[:count], self._waiting[count:]
        clean = self._processor.process(np.ascontiguousarray(near), self._far.read(begin + LEAD_SECONDS, count))
        return [(begin - LAG_SECONDS, clean)]
