from __future__ import annotations

import numpy as np
import pytest
from speech_examples import speech

from shared.audio.codec import PACKET_SAMPLES, RATE, Samples
from shared.audio.packetizer import VoiceGate, level_db


def opened(samples: Samples, gate: VoiceGate | None = None) -> list[bool]:
    gate = gate or VoiceGate()
    whole = len(samples) - len(samples) % PACKET_SAMPLES
    return [gate.opens(samples[i : i + PACKET_SAMPLES]) for i in range(0, whole, PACKET_SAMPLES)]


def noise(seconds: float, level: float, seed: int = 0) -> Samples:
    return np.asarray(level * np.random.default_rng(seed).standard_normal(round(seconds * RATE)), np.float32)


def test_levels_are_those_of_the_speech_band() -> None:
    t = np.arange(RATE // 50) / RATE
    assert level_db(np.asarray(np.sin(2 * np.pi * 1000 * t), np.float32)) == pytest.approx(-3, abs=0.5)
    assert level_db(np.asarray(np.sin(2 * np.pi * 50 * t), np.float32)) < -25  # hum
    assert level_db(np.zeros(960, np.float32)) == -100


@pytest.mark.parametrize("level", [0.0, 0.0005, 0.002])
def test_silence_and_a_quiet_room_stay_closed(level: float) -> None:
    assert not any(opened(noise(5, level))[10:])


def test_a_noisy_room_closes_once_it_is_known() -> None:
    assert not any(opened(noise(20, 0.02))[-100:])


def test_speech_opens_at_once_and_pauses_close() -> None:
    opens = opened(speech(9.0))
    spoken = [i * 0.06 % 3.0 < 2.1 for i in range(len(opens))]
    assert all(o for o, s in zip(opens, spoken, strict=True) if s)
    assert sum(opens) < 0.9 * len(opens)


def test_speech_above_noise_is_heard_for_long() -> None:
    opens = opened(speech(20.0, pauses=False) + noise(20, 0.003))
    assert np.mean(opens) > 0.97


def test_a_short_pause_inside_a_word_does_not_close() -> None:
    gate = VoiceGate()
    assert all(opened(speech(1.2, pauses=False), gate))
    assert opened(np.zeros(PACKET_SAMPLES * 8, np.float32), gate) == [True] * 5 + [False] * 3
