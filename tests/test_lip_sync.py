"""A call with sound over a link that loses: beeps are heard when flashes are seen, and speech goes on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from call_examples import FPS, SIDE
from sound_examples import DARK, FLASH, SoundingCall
from speech_examples import beeps, longest_gap, onsets, speech, write_wav

from receiver.output.outputs import Sinks
from shared.audio.codec import RATE, Samples
from shared.transport.aiortc_patches.sack_bundling import MAX_PACKETS
from shared.transport.link import ACK_SIZE, wire_cost

BEEPS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
SECONDS = 8.0
APART = 0.06
"""Seconds that sound and picture may be apart."""
MOTION_BYTES = 10
"""Of a frame of a real face, at most on average (`benchmarks.motion_codec`); the colour engine's has fewer."""


def flashing(t: float) -> float:
    return FLASH if any(begin <= t < begin + 0.12 for begin in BEEPS) else DARK


def turning(t: float) -> float:
    return 10 * float(np.sin(t))


def film_sound(path: Path) -> Samples:
    with av.open(str(path)) as film:
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in film.decode(audio=0)])


def film_flashes(path: Path) -> list[float]:
    with av.open(str(path)) as film:
        seen = [(float(f.time or 0), float(f.to_ndarray(format="rgb24")[..., 0].mean())) for f in film.decode(video=0)]
    return [t for (_, before), (t, red) in pairwise(seen) if red > 128 >= before]


@pytest.mark.parametrize("loss", [0.0, 0.1])
async def test_beeps_come_with_flashes_on_display_and_in_the_film(tmp_path: Path, loss: float) -> None:
    call = SoundingCall(write_wav(tmp_path / "b.wav", beeps(SECONDS, BEEPS)), SECONDS, flashing, loss)
    film, wav = tmp_path / "o.mp4", tmp_path / "o.wav"
    sinks = Sinks(film, False, FPS, SIDE, sound=True, out_audio=wav)
    await call.play(sinks)
    await sinks.close()

    heard = np.array(call.beeps())
    pairs = [float(np.abs(heard - flash).min()) for flash in call.flashes()]
    assert len(pairs) >= 5
    learning = 2 if loss else 0  # by then the delay covers losses
    assert max(pairs[learning:]) <= APART

    recorded = onsets(film_sound(film))
    assert len(recorded) == len(BEEPS)
    assert recorded == pytest.approx(film_flashes(film), abs=APART)
    with av.open(str(wav)) as file:
        alone = np.concatenate([f.to_ndarray().reshape(-1) for f in file.decode(audio=0)]) / 32768
    assert onsets(alone) == pytest.approx(recorded, abs=0.03)


async def test_speech_goes_on_while_a_tenth_is_lost(tmp_path: Path) -> None:
    call = SoundingCall(write_wav(tmp_path / "s.wav", speech(10.0, pauses=False)), 10.0, turning, 0.1)
    await call.play()
    begin, end = (round((t - call.speaker.began) * RATE) for t in (1.5, 10.0))
    assert longest_gap(call.speaker.heard[begin:end], 1e-3) <= 0.06
    assert call.listening.playout.track.played > 0.95 * call.outgoing.counts.sound_packets


async def test_speech_and_motion_keep_to_their_bytes(tmp_path: Path) -> None:
    seconds = 6.0
    call = SoundingCall(write_wav(tmp_path / "s.wav", speech(seconds, pauses=False)), seconds, turning)
    await call.play()
    out = sum(wire_cost(size + 3 * MOTION_BYTES) for size in call.bundles)
    assert call.outgoing.counts.sound_packets / len(call.bundles) == pytest.approx(2, abs=0.1)
    assert out * 8 / seconds / 1000 <= 18
    assert len(call.bundles) / MAX_PACKETS * ACK_SIZE * 8 / seconds / 1000 <= 7


async def test_silence_costs_what_motion_alone_does(tmp_path: Path) -> None:
    call = SoundingCall(write_wav(tmp_path / "s.wav", np.zeros(3 * RATE, np.float32)), 3.0, turning)
    await call.play()
    assert call.outgoing.counts.sound_packets == 0
    assert max(call.bundles) < 40
