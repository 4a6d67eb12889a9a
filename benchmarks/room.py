"""Room simulation: a speaker and a microphone in the same room, the devices' clocks included; for echo measurements.

The impulse response is a direct path and noise that decays exponentially (Polack's model of late reverberation).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shared.audio.codec import RATE, Samples
from shared.audio.resampling import between

BLOCK = RATE // 50
_TAKEN_LATE = 0.004
"""Seconds that a device's times tremble by, at most; one block in 40 is called ten times as late."""


@dataclass(frozen=True)
class Room:
    """How sound comes from the speaker's queue to the microphone."""

    delay: float = 0.08
    """Seconds from the moment the speaker takes a sample to the microphone: its latency, and the way there."""
    told: float = 1.0
    """Share of it that the device tells as its latency; what it does not tell has to be found by listening."""
    reverberation: float = 0.3
    """Seconds in which sound decays by 60 dB."""
    loss_db: float = 6.0
    """By how much the echo is weaker than what is played."""
    noise_db: float = -60.0
    """Of full scale, white, at the microphone."""
    overdrive: float = 0.0
    """How far the speaker is from linear: 0 not at all; 1: a signal of full scale comes out 2.4 dB lower, distorted."""
    drift: float = 0.0
    """By how much the speaker's clock is fast, as a share of it."""

    def echo(self, far: Samples, seed: int = 0) -> Samples:
        """What of `far` is at the microphone, on the microphone's clock, as long as `far`."""
        heard = far if self.overdrive == 0 else np.tanh(self.overdrive * far) / self.overdrive
        response = self.response(seed)
        size = 1 << (len(heard) + len(response) - 1).bit_length()
        echo = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(response, size), size)[: len(far)]
        at = np.arange(len(far)) * (1 + self.drift) - self.delay * RATE
        return between(np.asarray(echo, np.float32), at)

    def response(self, seed: int = 0) -> Samples:
        """The impulse response after the delay: its energy is the echo's loss."""
        t = np.arange(round(1.2 * self.reverberation * RATE)) / RATE
        tail = np.random.default_rng(seed).standard_normal(len(t)) * 10 ** (-3 * t / self.reverberation)
        tail[: RATE // 500] = 0  # nothing is nearer than 70 cm by a wall
        tail /= np.linalg.norm(tail) * 2
        tail[0] = 1.0  # the direct path has four times the energy of all others
        return np.asarray(tail / np.linalg.norm(tail) * 10 ** (-self.loss_db / 20), np.float32)

    def microphone(self, far: Samples, near: Samples, seed: int = 0) -> Samples:
        """What the microphone gives while `far` is played and `near` is said."""
        noise = 10 ** (self.noise_db / 20) * np.random.default_rng(seed + 1).standard_normal(len(near))
        return np.asarray(self.echo(far, seed) + near + noise, np.float32).clip(-1, 1)


class Taken(NamedTuple):
    """A block that a device took or gave."""

    played: bool
    """Whether it is the speaker's; else it is the microphone's."""
    clock: float
    """When the device says that its first sample is or was heard, in seconds."""
    samples: Samples


def blocks(room: Room, far: Samples, microphone: Samples, seed: int = 0) -> Iterator[Taken]:
    """The blocks of both devices in the order in which a program gets them, with times that tremble."""
    chance, events = np.random.default_rng(seed + 2), []
    for played, samples, rate in ((True, far, RATE * (1 + room.drift)), (False, microphone, float(RATE))):
        for at in range(0, len(samples) - BLOCK + 1, BLOCK):
            late = chance.uniform(0, _TAKEN_LATE) * (10 if chance.random() < 1 / 40 else 1)
            moment = (at + (0 if played else BLOCK)) / rate
            told = room.delay * room.told if played else -BLOCK / RATE
            events.append((moment, Taken(played, moment + told + late, samples[at : at + BLOCK])))
    events.sort(key=lambda each: each[0])
    yield from (taken for _, taken in events)
