from __future__ import annotations

import numpy as np
import pytest
from speech_examples import speech

from shared.audio.codec import (
    BIT_RATE,
    CONCEAL_SAMPLES,
    PACKET_MS,
    PACKET_SAMPLES,
    RATE,
    Samples,
    SpeechDecoder,
    SpeechEncoder,
)
from shared.codec.audio_section import packet_ms


def coded(samples: Samples, bit_rate: int = BIT_RATE) -> list[bytes]:
    encoder = SpeechEncoder(bit_rate)
    whole = len(samples) - len(samples) % PACKET_SAMPLES
    return [encoder.encode(samples[i : i + PACKET_SAMPLES]) for i in range(0, whole, PACKET_SAMPLES)]


def level(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def test_speech_comes_back_at_its_rate_and_in_its_place() -> None:
    said = speech(3.0, pauses=False)
    packets = coded(said)
    assert {packet_ms(each) for each in packets} == {PACKET_MS}
    rate = 8 * sum(map(len, packets)) / (len(packets) * PACKET_MS / 1000)
    assert 4000 < rate < BIT_RATE
    decoder = SpeechDecoder()
    heard = np.concatenate([decoder.decode(each) for each in packets])
    assert len(heard) == len(packets) * PACKET_SAMPLES
    # The look-ahead of the encoder, 312 samples, is where the decoded voice fits the one that was said.
    part = said[RATE : 2 * RATE]
    likeness = {lag: float(part @ heard[RATE + lag : 2 * RATE + lag]) for lag in range(0, 700, 12)}
    assert max(likeness, key=likeness.__getitem__) == pytest.approx(312, abs=36)


def test_less_is_spent_when_less_is_asked_for() -> None:
    said = speech(2.0, pauses=False)
    assert sum(map(len, coded(said, 6000))) < 0.9 * sum(map(len, coded(said, 8000)))


def test_what_is_lost_is_made_up_and_fades() -> None:
    decoder, packets = SpeechDecoder(), coded(speech(1.0, pauses=False))
    for each in packets[:10]:
        last = decoder.decode(each)
    made_up = [decoder.conceal() for _ in range(15)]
    assert {len(each) for each in made_up} == {CONCEAL_SAMPLES}
    assert level(made_up[0]) > 0.15 * level(last)
    assert level(made_up[14]) < 0.02 * level(last)
    after = np.concatenate([decoder.decode(each) for each in packets[10:15]])
    assert level(after) > 0.2 * level(last)


def test_nothing_heard_yet_is_concealed_by_silence() -> None:
    assert not SpeechDecoder().conceal().any()


def test_garbage_in_a_packet_keeps_its_length() -> None:
    decoder = SpeechDecoder()
    chance = np.random.default_rng(0)
    for _ in range(50):
        heard = decoder.decode(bytes([11 << 3]) + chance.bytes(40))
        assert len(heard) == PACKET_SAMPLES
        assert np.isfinite(heard).all()


def test_a_part_of_a_packet_is_refused() -> None:
    with pytest.raises(ValueError, match="2880 samples"):
        SpeechEncoder().encode(np.zeros(100, np.float32))
