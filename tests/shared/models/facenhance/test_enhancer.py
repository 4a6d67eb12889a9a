from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.models.engine import EngineError
from shared.models.facenhance.enhancer import Enhancer, read_network, write_network
from shared.models.facenhance.network import FacEnhanceNetwork, NetworkSettings

GUIDED = NetworkSettings(size=64, width=8, multipliers=(1, 2), attention=1, guided=True)


def pictures(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def test_weights_come_back_with_their_settings(tmp_path: Path) -> None:
    network = FacEnhanceNetwork(GUIDED)
    write_network(tmp_path / "w.safetensors", network, previous_noise=False)
    read, previous_noise = read_network(tmp_path / "w.safetensors")
    assert read.settings == GUIDED and not previous_noise
    assert all(torch.equal(a.half(), b.half()) for a, b in zip(network.parameters(), read.parameters(), strict=True))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing")
    for path in (tmp_path / "text", tmp_path / "absent"):
        with pytest.raises(EngineError, match=r"weights\.training\.facenhance"):
            read_network(path)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    network = FacEnhanceNetwork(GUIDED)
    with torch.no_grad():
        network.first.weight[0] = float("nan")
    write_network(tmp_path / "w.safetensors", network)
    with pytest.raises(EngineError, match="NaN"):
        read_network(tmp_path / "w.safetensors")


@pytest.mark.parametrize("low", [64, 128])
def test_pictures_of_any_size_give_one_of_the_side_asked_for(low: int) -> None:
    enhancer = Enhancer(FacEnhanceNetwork(GUIDED).eval())
    drawn = enhancer.enhance(pictures(low), pictures(256), 96)
    assert drawn.shape == (96, 96, 3) and drawn.dtype == np.uint8


def test_an_untrained_guided_network_shows_the_small_frame() -> None:
    low = pictures(64)
    drawn = Enhancer(FacEnhanceNetwork(GUIDED).eval(), steps=1).enhance(low, pictures(64, 1), 64)
    assert int(np.abs(drawn.astype(int) - low).max()) <= 1


def test_a_video_begun_anew_is_not_drawn_from_the_one_before() -> None:
    torch.manual_seed(0)
    network = FacEnhanceNetwork(GUIDED).eval()
    with torch.no_grad():
        network.last[2].weight.normal_(0, 0.3)
    low, identity = pictures(64), pictures(64, 1)
    enhancer = Enhancer(network, steps=1)
    first = enhancer.enhance(low, identity, 64)
    assert not np.array_equal(enhancer.enhance(low, identity, 64), first)
    enhancer.begin_anew()
    assert np.array_equal(enhancer.enhance(low, identity, 64), first)
