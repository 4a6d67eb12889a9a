from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from based_call import FPS, Filming, source
from call_examples import SIDE, ColourEngine, make_basis

from receiver.decoder import CallDecoder
from receiver.enhance import Enhancement, EnhanceSettings, load_enhancement
from receiver.upscale import Bicubic
from shared.models import stored_weights
from shared.models.engine import EngineError, Picture
from shared.models.facenhance.enhancer import Enhancer, write_network
from shared.models.facenhance.network import FacEnhanceNetwork, NetworkSettings
from shared.transport.link import Channel

NETWORK = NetworkSettings(size=64, width=8, multipliers=(1, 2), attention=1, guided=True)


class Call(NamedTuple):
    """What was asked of an enhancer."""

    low: Picture
    identity: Picture


class Noting(Enhancer):
    """An enhancer that notes what it is given and numbers its pictures."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

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


def test_weights_lie_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_weights, "folder", lambda: tmp_path)
    with pytest.raises(EngineError, match="--enhance-weights FILE"):
        load_enhancement(EnhanceSettings(), "cpu", live=False)
    weights(tmp_path)
    assert load_enhancement(EnhanceSettings(), "cpu", live=False)(64)


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
