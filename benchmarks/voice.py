"""A voice that is none, for measurements: no recording of anybody is needed."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from shared.audio.codec import RATE, Samples


def speech(seconds: float, seed: int = 0, pauses: bool = True) -> Samples:
    """Something like a voice: harmonics of a moving pitch under three formants, in syllables, a few to a breath."""
    t = np.arange(round(seconds * RATE)) / RATE
    chance = np.random.default_rng(seed)
    pitch = 125 * np.exp(0.12 * np.sin(2 * np.pi * 0.6 * t) + 0.05 * np.sin(2 * np.pi * 2.3 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = ((520 + 180 * np.sin(2 * np.pi * 1.7 * t), 90), (1500 + 400 * np.sin(2 * np.pi * 1.1 * t), 140))
    voice = np.zeros_like(t)
    for harmonic in range(1, 28):
        gain = sum(1 / (1 + ((harmonic * pitch - centre) / width) ** 2) for centre, width in formants)
        voice += gain * np.sin(harmonic * phase)
    hiss = chance.standard_normal(len(t)) * np.clip(np.sin(2 * np.pi * 2.1 * t + 2), 0, 1) ** 4
    syllables = 0.06 + 0.94 * np.clip(np.sin(2 * np.pi * 4.2 * t), 0, 1)
    breath = np.where((t % 3.0) < 2.2, 1.0, 0.0) if pauses else 1.0
    sound = (0.1 * voice + 0.03 * hiss) * syllables * breath + 0.0005 * chance.standard_normal(len(t))
    return np.asarray(sound, np.float32)


def write_wav(path: Path, samples: Samples) -> Path:
    """A WAV file, mono, at RATE."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path
