"""What a viewer hears, in simulated time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from call_examples import incoming_half, make_basis, make_motion
from numpy.typing import NDArray
from sound_examples import DARK, FLASH, SoundingCall
from speech_examples import beeps, onsets, write_wav

from receiver.output.page.view import PageSound
from shared.codec.bundle import Bundle, encode_bundle
from shared.transport.link import Channel
from shared.transport.viewer_audio import BLOCK, RATE, SoundFeed


class Ear(SoundFeed):
    """Keeps all blocks with their times."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, NDArray[np.float32]]] = []

    def push(self, samples: NDArray[np.float32], at: int) -> None:
        assert samples.shape == (BLOCK,)
        self.heard.append((at, samples))


@pytest.mark.parametrize("loss", [0.0, 0.1])
async def test_a_viewer_hears_what_it_sees(tmp_path: Path, loss: float) -> None:
    times = [1.0, 2.2, 3.6, 5.0]

    def flashing(t: float) -> float:
        return FLASH if any(at <= t < at + 0.12 for at in times) else DARK

    call, ear = SoundingCall(write_wav(tmp_path / "beeps.wav", beeps(6.0, times)), 6.0, flashing, loss), Ear()
    call.listening = PageSound(call.incoming, ear)  # type: ignore[assignment]
    await call.play()
    places = [at for at, _ in ear.heard]
    assert places == list(range(places[0], places[0] + BLOCK * len(places), BLOCK))
    heard = [places[0] / RATE + t for t in onsets(np.concatenate([samples for _, samples in ear.heard]))]
    seen = call.flashes()
    assert len(heard) == len(times) and len(seen) >= (len(times) if not loss else 2)
    for at in seen:
        assert min(abs(at - beep) for beep in heard) < 0.06
    call.incoming.audio_listeners.clear()


def test_a_program_that_was_kept_away_does_not_speak_faster_afterwards() -> None:
    half, ear = incoming_half(), Ear()
    sound = PageSound(half, ear)
    sound.play(1.0)
    assert not ear.heard  # nothing has come: there is no delay to go by
    first = Bundle(0, 0, half.gallery.epoch, 40.0, (make_motion(),))
    half.receive(Channel.MOTION, encode_bundle(first, make_basis()), 0.9)  # makes the delay known
    for now in (1.0, 1.01, 1.02, 1.5):
        sound.play(now)
    assert [at for at, _ in ear.heard] == [RATE, RATE + BLOCK, RATE * 3 // 2]


def test_a_speakers_wish_for_more_time_is_kept() -> None:
    half = incoming_half()
    sound = PageSound(half, Ear())
    sound.play(1.0)
    assert half.playout.sound_lead == BLOCK / RATE
    half.playout.sound_lead = 0.09
    sound.play(1.02)
    assert half.playout.sound_lead == 0.09
