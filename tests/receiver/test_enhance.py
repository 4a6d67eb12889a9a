from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from based_call import FPS, Filming, source
from call_examples import SIDE, ColourEngine, make_basis, psnr

from receiver.decoder import CallDecoder
from receiver.enhance import Enhancement, EnhanceSettings, load_enhancement
from receiver.upscale import Bicubic
from shared.codec.base_video import BaseDecoder, BaseEncoder
from shared.models.engine import EngineError, Picture
from shared.models.facenhance.enhancer import Enhancer, write_network
from shared.models.facenhance.network import FacEnhanceNetwork, NetworkSettings
from shared.resampling import resampled
from shared.transport.link import Channel
from shared.transport.resuming import Change

NETWORK = NetworkSettings(size=64, width=8, multipliers=(1, 2), attention=1, guided=True)


class Call(NamedTuple):
    """What was asked of an enhancer."""

    low: Picture
    identity: Picture


class Noting(Enhancer):
    """An enhancer that notes what it is given and numbers its pictures."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.begun = 0

    def begin_anew(self) -> None:
        self.begun += 1

    def enhance(self, low: Picture, identity: Picture, side: int) -> Picture:
        self.calls.append(Call(low, identity))
        return np.full((side, side, 3), len(self.calls), np.uint8)


def weights(tmp_path: Path) -> Path:
    path = tmp_path / "facenhance.safetensors"
    write_network(path, FacEnhanceNetwork(NETWORK))
    return path


def plain(level: int, side: int = 64) -> Picture:
    return np.full((side, side, 3), level, np.uint8)


def not_called() -> Picture:
    raise AssertionError("the engine need not draw where there is a base")


def test_a_picture_is_drawn_for_every_new_base_picture() -> None:
    enhancer = Noting()
    enhancement, bases = Enhancement(enhancer, 32), [plain(1), plain(2)]
    drawn = [enhancement.draw(bases[n // 2], plain(9), not_called) for n in range(4)]
    assert [int(each[0, 0, 0]) for each in drawn] == [1, 1, 2, 2]
    assert [int(call.low[0, 0, 0]) for call in enhancer.calls] == [1, 2]


def test_a_sender_that_was_started_again_begins_another_video() -> None:
    enhancer = Noting()
    half = CallDecoder(ColourEngine(), make_basis(), Bicubic(), FPS, enhancement=Enhancement(enhancer, SIDE))
    enhancement, base = half._enhancement, plain(1)
    assert enhancement is not None
    enhancement.draw(base, plain(9), not_called)
    half.link_changed(Change.RENEWED, 1.0)
    enhancement.draw(base, plain(9), not_called)
    assert (enhancer.begun, len(enhancer.calls)) == (0, 1)
    half.link_changed(Change.REPLACED, 2.0)
    enhancement.draw(base, plain(9), not_called)
    assert (enhancer.begun, len(enhancer.calls)) == (1, 2)


def test_without_a_base_every_picture_of_the_engine_is_the_small_one() -> None:
    enhancer = Noting()
    enhancement = Enhancement(enhancer, 32)
    levels = iter((5, 6))
    for _ in range(2):
        enhancement.draw(None, plain(9), lambda: plain(next(levels)))
    assert [int(call.low[0, 0, 0]) for call in enhancer.calls] == [5, 6]


def test_a_call_is_drawn_from_its_base_layer_and_its_newest_source() -> None:
    enhancer, filming = Noting(), Filming()
    half = CallDecoder(ColourEngine(), make_basis(), Bicubic(), FPS, base=True, enhancement=Enhancement(enhancer, SIDE))

    def take(messages: list[tuple[Channel, bytes]], now: float) -> None:
        for channel, data in messages:
            half.receive(channel, data, now)
        while (job := half.next_job()) is not None:
            half.add_source(half.prepare(job))

    take(source(1) + source(2), 0.0)
    filming.epoch = 2
    take(filming.begin(), 0.0)
    shown = []
    for _ in range(4):
        take(filming.bundle(), filming.now)
        shown += [half.draw(frame, mixed) for frame, mixed, _ in half.each_due(filming.now, filming.now + 0.2) if mixed]
    with_base = [call for call in enhancer.calls if call.low.shape == (SIDE, SIDE, 3) and call.low.std() > 5]
    assert len(shown) > len(with_base) >= 4
    assert all(int(np.median(call.identity[..., 1])) == 2 for call in enhancer.calls[-3:])
    assert shown[-1].shape == (SIDE, SIDE, 3) and int(shown[-1][0, 0, 0]) == len(enhancer.calls)


def test_weights_of_a_file_draw(tmp_path: Path) -> None:
    enhancement = load_enhancement(EnhanceSettings(weights(tmp_path)), "cpu", live=False)(128)
    drawn = enhancement.draw(plain(100), plain(50, 256), not_called)
    assert drawn.shape == (128, 128, 3) and abs(int(np.median(drawn)) - 100) <= 2


def test_embedded_weights_come_nearer_to_the_truth_than_bicubic(person: list[Picture]) -> None:
    enhancement = load_enhancement(EnhanceSettings(steps=1), "cpu", live=False)(256)
    encoder, decoder = BaseEncoder(64, 50), BaseDecoder(64)
    ours, plain_ones = [], []
    for each in person[:16:2]:
        coded = encoder.encode(resampled(each, 64))
        assert coded is not None
        low = decoder.decode_key(coded.data) if coded.key else decoder.decode(coded.data)
        ours.append(psnr(enhancement.draw(low, person[0], not_called), each))
        plain_ones.append(psnr(resampled(low, 256), each))
    assert np.mean(ours) > np.mean(plain_ones) + 0.1


@pytest.mark.parametrize(("seconds", "refused"), [(0.5, True), (0.01, False)])
def test_a_machine_that_does_not_keep_up_is_told_so(
    seconds: float, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, now = EnhanceSettings(weights(tmp_path)), [0.0]
    work: Callable[..., Picture] = Enhancer.enhance

    def slow(*args: object) -> Picture:
        now[0] += seconds
        return work(*args)

    monkeypatch.setattr(Enhancer, "enhance", slow)
    monkeypatch.setattr("receiver.enhance.time.perf_counter", lambda: now[0])
    if refused:
        with pytest.raises(EngineError, match=r"0\.50 s.*--play"):
            load_enhancement(settings, "cpu", live=True)
    else:
        load_enhancement(settings, "cpu", live=True)
    load_enhancement(settings, "cpu", live=False)
