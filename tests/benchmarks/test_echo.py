from __future__ import annotations

import numpy as np
import pytest

from benchmarks import echo
from benchmarks.room import Room
from shared.audio.codec import RATE, Samples
from shared.audio.echo import LAG_SECONDS, EchoCanceller


class Fades:
    """As late as the module, and all of it 20 dB weaker while nobody near speaks."""

    def __init__(self) -> None:
        self._kept = np.zeros(round(LAG_SECONDS * RATE), np.float32)
        self._at = 0

    def process(self, near: Samples, far: Samples) -> Samples:
        kept = np.concatenate([self._kept, near])
        out, self._kept = kept[: len(near)], kept[len(near) :]
        seconds = (self._at + np.arange(len(near))) / RATE - LAG_SECONDS
        self._at += len(near)
        return np.where((seconds > 10) & (seconds < 30), out, 0.1 * out).astype(np.float32)


def bursts() -> tuple[Samples, Samples]:
    """In the place of voices, which take long to make."""
    chance, length = np.random.default_rng(3), echo.LENGTH * RATE
    far, near = 0.1 * chance.standard_normal((2, length)) * (np.arange(length) % RATE < 0.7 * RATE)
    far[10 * RATE : 20 * RATE] = near[: 10 * RATE] = near[30 * RATE :] = 0
    return far.astype(np.float32), near.astype(np.float32)


def test_what_a_canceller_does_is_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(echo, "voices", bursts)
    found = echo.measure(Room(noise_db=-90), EchoCanceller(Fades()))
    assert (found.erle_first, found.erle, found.erle_again) == pytest.approx((20, 20, 20), abs=0.5)
    assert (found.near_level, found.both_level) == pytest.approx((0, 0), abs=0.3)
    assert found.near_likeness > 0.99
    assert found.both == pytest.approx(found.both_without, abs=0.3)
    assert found.both_without == pytest.approx(6, abs=1.5)  # the echo's loss
    assert found.sent_without > 0.9


def test_one_room_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    asked = echo.rooms(echo.parse("--delay 120 --told 0 --drift 50 --loss 3 --noise -50".split()))  # noqa: SIM905
    assert asked == {"120 ms": Room(delay=0.12, told=0, drift=5e-5, loss_db=3, noise_db=-50)}
    assert len(echo.rooms(echo.parse([]))) == len(echo.USUAL)
    with pytest.raises(SystemExit):
        echo.parse(["--told", "0"])
    assert "--told is for one room" in capsys.readouterr().err
