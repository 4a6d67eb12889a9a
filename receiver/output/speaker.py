"""Plays the sound of a running call on a speaker, with the pictures on display."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from receiver.decoder import CallDecoder
from shared.audio.codec import RATE, Samples
from shared.audio.devices import SoundDeviceError, open_speaker
from shared.audio.jitter import AudioPlayout

AHEAD_SECONDS = 0.06
"""Sound given to the device ahead of time: drawing may keep this program away for so long."""
_BLOCK = RATE // 50
_LOOK_SECONDS = 0.01


class Output(Protocol):
    """What plays samples; `shared.audio.devices.Speaker` for one."""

    latency: float

    @property
    def queued(self) -> float:
        """Seconds of sound not played yet."""

    def write(self, samples: Samples) -> None:
        """Adds samples at the end."""

    def played(self) -> list[tuple[float, Samples]]:
        """(time at which the first sample is heard, samples) of all that was played since the last call."""

    def close(self) -> None:
        """Gives the device back."""


class Listening:
    """Hears a half out loud."""

    def __init__(self, half: CallDecoder, output: Output) -> None:
        self._muted = False
        self.playout = AudioPlayout()
        self._half, self._output = half, output
        half.audio_listeners.append(self.playout.push)
        half.playout.sound_lead = AHEAD_SECONDS + output.latency

    def mute(self, muted: bool) -> None:
        """Turns the sound off, or on again."""
        self._muted = muted

    def played(self) -> list[tuple[float, Samples]]:
        """(time at which the first sample is heard, samples) of all that was played since the last call."""
        return self._output.played()

    async def run(self) -> None:
        """Plays until cancelled."""
        try:
            while True:
                self.play(time.monotonic())
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        """Gives the device back. May be called more than once."""
        self._output.close()

    def play(self, now: float) -> None:
        """Gives the output what it has to have at `now`."""
        half = self._half
        # What drawing takes is time that sound need not have been waited for.
        half.playout.sound_lead = max(0.0, AHEAD_SECONDS + self._output.latency - half.timing.display_lag)
        delay = half.timing.sound_delay
        if delay is None:
            return
        while (queued := self._output.queued) < AHEAD_SECONDS:
            heard_at = now + queued + self._output.latency
            samples = self.playout.pull(heard_at - delay, _BLOCK)
            self._output.write(np.zeros_like(samples) if self._muted else samples)


def listen(half: CallDecoder, device: str, say: Callable[[str], None]) -> Listening | None:
    """Hears a half on a speaker; None, which is said, if it cannot be had."""
    try:
        return Listening(half, open_speaker(device))
    except SoundDeviceError as error:
        say(f"the sound is not heard: {error}")
        return None
