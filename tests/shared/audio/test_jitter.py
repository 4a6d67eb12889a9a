from __future__ import annotations

import numpy as np
import pytest
from kept import elements
from speech_examples import longest_gap, speech

from receiver.output.recorded_audio import LAG_SECONDS, RecordedSound
from shared.audio.codec import CONCEAL_MS, PACKET_MS, RATE, Samples
from shared.audio.jitter import CONCEAL_AT_MOST, TOLERANCE, AudioJitterBuffer, AudioPlayout
from shared.audio.packetizer import AudioPacketizer, Packet

BLOCK = RATE // 50


def said(seconds: float = 1.8, clock: float = 10.0) -> list[Packet]:
    """Packets of running speech, and the mark after them."""
    voice = AudioPacketizer()
    packets = voice.feed(speech(seconds, pauses=False), clock)
    return packets + voice.feed(np.zeros(RATE, np.float32), clock + seconds)


def pushed(packets: list[Packet], track: AudioJitterBuffer | None = None) -> AudioJitterBuffer:
    track = track or AudioJitterBuffer()
    for each in packets:
        track.push(each.data, each.clock_ms / 1000)
    return track


def heard(track: AudioJitterBuffer, since: float = 9.5, seconds: float = 3.0) -> Samples:
    track.seek(since)
    return np.concatenate([track.read(BLOCK) for _ in range(round(seconds * 50))])


def test_packets_in_any_order_and_twice_are_the_same_sound() -> None:
    packets = said()
    right = heard(pushed(packets))
    chance = np.random.default_rng(0)
    mixed = [packets[i] for i in chance.permutation(len(packets) * 2) % len(packets)]
    assert np.array_equal(heard(pushed(mixed)), right)
    assert not right[: round(0.45 * RATE)].any()
    assert np.abs(right[round(0.55 * RATE) : round(2.2 * RATE)]).max() > 0.1
    assert not right[-RATE // 4 :].any()


def test_a_lost_packet_is_made_up_and_silence_is_not() -> None:
    packets = said()
    track = pushed(packets[:8] + packets[9:])
    sound = heard(track)
    assert track.concealed == PACKET_MS // CONCEAL_MS
    assert longest_gap(sound[round(0.6 * RATE) : round(2.2 * RATE)], 1e-4) < 0.02
    whole = pushed(packets)
    heard(whole)
    assert whole.concealed == 0  # the mark of silence came


def test_a_sender_that_falls_silent_without_a_word_is_concealed_for_a_moment_only() -> None:
    track = pushed([each for each in said() if each.data][:10])
    sound = heard(track)
    assert track.concealed == CONCEAL_AT_MOST
    assert not sound[-RATE:].any()


def test_a_late_packet_is_dropped_and_a_little_late_one_cut() -> None:
    packets = said()
    track = pushed(packets[:8])
    track.seek(9.9)
    while not track.concealed:
        track.read(BLOCK)
    at, made_up = track.at, track.concealed
    assert made_up == 1
    pushed([packets[3], *packets[8:]], track)
    track.read(BLOCK * 10)
    assert track.late == 1
    assert track.at == pytest.approx(at + 0.2)
    assert track.concealed == made_up


def test_a_flood_is_bounded() -> None:
    track = AudioJitterBuffer()
    for n in range(5000):
        track.push(b"", float(n))
    assert 512 <= elements(track) < 1200
    track.seek(0.0)
    assert not track.read(RATE).any()


@pytest.mark.parametrize("apart", [0.15, -0.15])
def test_speech_catches_up_or_waits_without_a_break(apart: float) -> None:
    playout = AudioPlayout()
    pushed(said(6.0), playout.track)
    out, at = [], 10.0
    for n in range(240):
        at = 10.0 + n / 50 + (apart if n > 50 else 0.0)
        out.append(playout.pull(at, BLOCK))
        assert len(out[-1]) == BLOCK
    assert abs(playout.track.at - (at + 0.02)) < TOLERANCE + 0.015
    assert longest_gap(np.concatenate(out)[RATE // 2 :], 1e-4) < 0.03


def test_silence_takes_up_any_difference_at_once() -> None:
    playout = AudioPlayout()
    pushed(said(clock=20.0), playout.track)
    for wanted in (3.0, 3.5, 2.0, 19.95):
        playout.pull(wanted, BLOCK)
        assert playout.track.at == pytest.approx(wanted + 0.02, abs=1e-3)


def test_a_recording_follows_the_clock_of_the_pictures() -> None:
    sound = RecordedSound(25.0, 250)
    for each in said():
        sound.push(each.data, each.clock_ms / 1000)
    parts, places = [], []
    for n in range(60):
        place, part = sound.step(3 + n, 9.5 + n / 25)
        places.append(place)
        parts.append(part)
    parts.append(sound.finish())
    recorded = np.concatenate(parts)
    assert places == list(range(3, 63))
    assert len(recorded) == round(63 / 25 * RATE)
    loud = np.flatnonzero(np.abs(recorded) > 0.05)[0] / RATE
    assert loud == pytest.approx(0.5 + 3 / 25, abs=0.05)
    assert sum(map(len, parts[:12])) < (15 / 25 - LAG_SECONDS + 0.01) * RATE


def test_a_slow_camera_does_not_shorten_the_sound_and_a_hole_is_bounded() -> None:
    sound = RecordedSound(25.0, 50)
    places = [sound.step(n, n / 12.5)[0] for n in range(20)]
    assert places == [2 * n for n in range(20)]
    assert sound.step(20, 1000.0)[0] == places[-1] + 50
    assert sound.step(21, 1000.04)[0] == places[-1] + 51
    assert len(sound.finish()) <= 91 / 25 * RATE
