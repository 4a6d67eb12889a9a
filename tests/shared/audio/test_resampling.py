from __future__ import annotations

import numpy as np
import pytest

from shared.audio.resampling import Resampler, between


@pytest.mark.parametrize(("source", "target"), [(44100, 48000), (48000, 44100), (16000, 48000), (48000, 48000)])
def test_a_tone_keeps_its_pitch_and_its_length_block_by_block(source: int, target: int) -> None:
    def tone(count: int, rate: int, late: float = 0.0) -> np.ndarray:
        return np.sin(2 * np.pi * 700 * (np.arange(count) / rate - late))

    resampler, said = Resampler(source, target), tone(source, source).astype(np.float32)
    sizes = [1, 2, 441, 882, 5, 1000, 3000]
    ends = np.minimum(np.cumsum(sizes * 20), source)
    parts = [resampler(said[begin:end]) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    heard = np.concatenate(parts)
    assert len(heard) == pytest.approx(target, abs=4)
    expected = tone(len(heard), target, 2 / source)
    assert np.max(np.abs(heard - expected)[200:]) < (0.001 if source > 40000 else 0.02)


def test_between_samples_a_cubic_curve_goes_through_them() -> None:
    samples = np.asarray([0, 1, 4, 9, 16, 25], np.float32)
    assert between(samples, np.array([1.0, 1.5, 2.25, 3.0])) == pytest.approx([1, 2.25, 5.0625, 9])


def test_outside_of_the_samples_it_is_silent() -> None:
    ones = np.ones(6, np.float32)
    assert between(ones, np.array([-50.0, -49.0])).tolist() == [0, 0]
    assert between(ones, np.array([50.0, 51.0])).tolist() == [0, 0]
    assert between(ones, np.arange(-3.0, 9.0)).tolist() == [0] * 3 + [1] * 6 + [0] * 3
