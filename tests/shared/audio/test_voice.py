from __future__ import annotations

import itertools

import numpy as np
import pytest
from speech_examples import speech

from shared.audio.codec import PACKET_MS, PACKET_SAMPLES, RATE, Samples
from shared.audio.packetizer import AudioPacketizer, Packet


def fed(
    voice: AudioPacketizer, samples: Samples, clock: float = 5.0, block: int = 960, late: float = 0.0
) -> list[Packet]:
    """What a voice makes of samples in blocks; each is said to be captured up to `late` seconds beside its time."""
    chance = np.random.default_rng(0)
    packets: list[Packet] = []
    for i in range(0, len(samples), block):
        packets += voice.feed(samples[i : i + block], clock + i / RATE + late * chance.uniform(-1, 1))
    return packets


def test_packets_of_running_speech_are_even_however_the_times_tremble() -> None:
    packets = fed(AudioPacketizer(), speech(3.0, pauses=False), late=0.015)
    assert len(packets) >= 48
    assert packets[0].clock_ms == pytest.approx(5000, abs=70)
    assert {b.clock_ms - a.clock_ms for a, b in itertools.pairwise(packets)} == {PACKET_MS}


@pytest.mark.parametrize("block", [100, 960, 5000])
def test_blocks_of_any_size_make_the_same_packets(block: int) -> None:
    assert fed(AudioPacketizer(), speech(1.0), block=block) == fed(AudioPacketizer(), speech(1.0))


def test_silence_costs_nothing_but_the_mark_of_its_beginning() -> None:
    samples = np.concatenate([speech(1.2, pauses=False), np.zeros(3 * RATE, np.float32), speech(1.2, pauses=False)])
    packets = fed(AudioPacketizer(), samples)
    marks = [each for each in packets if not each.data]
    assert len(marks) == 1
    before, after = [e for e in packets if e.clock_ms < marks[0].clock_ms], packets[packets.index(marks[0]) + 1 :]
    assert before[-1].clock_ms + PACKET_MS == marks[0].clock_ms
    assert after[0].clock_ms == pytest.approx(9200, abs=70)
    assert fed(AudioPacketizer(), np.zeros(5 * RATE, np.float32)) == []


def test_a_clock_that_drifts_is_followed() -> None:
    said, voice = speech(1.2, pauses=False), AudioPacketizer()
    quiet = np.zeros(RATE * 2, np.float32)
    packets, at = [], 0.0
    for _ in range(10):  # the device says 1.002 s for every second of its samples
        for part in (said, quiet):
            for i in range(0, len(part), 960):
                packets += voice.feed(part[i : i + 960], at)
                at += 0.02 * 1.002
    last = packets[-1].clock_ms / 1000
    assert last == pytest.approx(at - 2.0, abs=0.45)
    spoken = [each for each in packets if each.data]
    assert all(b.clock_ms - a.clock_ms >= PACKET_MS for a, b in itertools.pairwise(spoken))


def test_a_jump_of_the_clock_is_a_gap() -> None:
    voice, said = AudioPacketizer(), speech(0.6, pauses=False)
    first, second = fed(voice, said, 1.0), fed(voice, said, 9.0)
    assert second[0].clock_ms == 9000
    assert fed(voice, said, 2.0)[0].clock_ms == 2000  # a clock that was set back
    assert first[0].clock_ms == 1000


def test_muted_nothing_goes_and_the_end_is_marked() -> None:
    voice, said = AudioPacketizer(muted=True), speech(1.2, pauses=False)
    assert fed(voice, said, 0.0) == []
    voice.muted = False
    heard = fed(voice, said, 2.0)
    assert len(heard) == len(said) // PACKET_SAMPLES
    voice.muted = True
    assert [each.data for each in fed(voice, said, 2.0 + len(said) / RATE)] == [b""]
