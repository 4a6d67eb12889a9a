from __future__ import annotations

import numpy as np
import pytest

from benchmarks.room import BLOCK, Room, blocks
from shared.audio.codec import RATE, Samples


def noise(seconds: float, seed: int = 0) -> Samples:
    return np.asarray(0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)), np.float32)


def best_lag(heard: Samples, played: Samples) -> int:
    size = 2 * len(played)
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(played, size)))
    return int(np.argmax(np.abs(product)[: len(played)]))


@pytest.mark.parametrize("delay", [0.02, 0.25])
def test_the_echo_comes_after_the_delay_and_is_as_weak_as_the_room_makes_it(delay: float) -> None:
    played = noise(4.0)
    heard = Room(delay=delay, loss_db=9.0).echo(played)
    assert best_lag(heard, played) == round(delay * RATE)
    power = np.mean(heard[RATE:] ** 2) / np.mean(played[RATE:] ** 2)
    assert 10 * np.log10(power) == pytest.approx(-9, abs=1)


def test_reverberation_decays_by_60_db_in_its_time() -> None:
    response = Room(reverberation=0.5, loss_db=0).response()
    early, late = (np.mean(response[int(at * RATE) :][: RATE // 20] ** 2) for at in (0.05, 0.45))
    assert 10 * np.log10(early / late) == pytest.approx(60 * 0.4 / 0.5, abs=2)
    assert np.sum(response**2) == pytest.approx(1, rel=1e-4)


def test_a_fast_speaker_is_ahead_more_and_more() -> None:
    played = noise(12.0)
    heard = Room(delay=0.1, drift=1e-4).echo(played)
    early, late = (slice(n * RATE, (n + 1) * RATE) for n in (1, 10))
    assert best_lag(heard[early], played[early]) - best_lag(heard[late], played[late]) == pytest.approx(43, abs=4)


def test_a_program_gets_both_devices_blocks_in_order_with_their_times() -> None:
    played, heard = noise(1.0), noise(1.0, 1)
    taken = list(blocks(Room(delay=0.1, told=0.5), played, heard))
    for is_played, samples, ahead in ((True, played, 0.05), (False, heard, 0.0)):
        own = [each for each in taken if each.played is is_played]
        assert np.array_equal(np.concatenate([each.samples for each in own]), samples)
        late = [each.clock - ahead - n * BLOCK / RATE for n, each in enumerate(own)]
        assert min(late) >= 0 and max(late) < 0.041
    assert taken[0].played and not taken[-1].played
