"""Folding and leaving out norms change nothing but the work."""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from shared.models.vox256.blocks import (
    Bottleneck,
    DownBlock2d,
    DownBlock3d,
    ResBlock3d,
    SameBlock2d,
    SpectralConv2d,
    UpBlock3d,
    absent_norms,
    fold,
    volume_grid,
    without,
)
from shared.models.vox256.dense_motion import _sampled
from shared.models.vox256.motion import Shrink

Module = TypeVar("Module", bound=nn.Module)
PLANE, VOLUME = (2, 8, 12, 12), (2, 8, 4, 12, 12)


def shaken(module: Module) -> Module:
    """In eval mode, with random numbers for every parameter and statistic."""
    torch.manual_seed(0)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if name.endswith("_var") else torch.randn_like(value))
    return module.eval().requires_grad_(False)


BLOCKS = {
    "same": (lambda: SameBlock2d(8, 4, 0.1), PLANE, (2, 4, 12, 12)),
    "down": (lambda: DownBlock2d(8, 4), PLANE, (2, 4, 6, 6)),
    "down in depth": (lambda: DownBlock3d(8, 4), VOLUME, (2, 4, 4, 6, 6)),
    "up in depth": (lambda: UpBlock3d(8, 4), VOLUME, (2, 4, 4, 24, 24)),
    "residual": (lambda: ResBlock3d(8), VOLUME, VOLUME),
    "bottleneck": (lambda: Bottleneck(8), PLANE, PLANE),
    "strided bottleneck": (lambda: Bottleneck(8, 2), PLANE, (2, 8, 6, 6)),
    "spectral": (lambda: SpectralConv2d(8, 4, 3), PLANE, (2, 4, 12, 12)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_folded_block_gives_the_same_in_fewer_parameters(name: str) -> None:
    make, given, expected = BLOCKS[name]
    block, x = nn.Sequential(shaken(make())), torch.randn(given)
    before, parameters = block(x), len(block.state_dict())
    assert before.shape == expected
    fold(block)
    assert torch.allclose(block(x), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
    assert len(block.state_dict()) < parameters


def test_a_spectral_convolution_has_a_largest_singular_value_of_one() -> None:
    block = shaken(SpectralConv2d(6, 5, 3))
    left, values, right = torch.linalg.svd(block.weight_orig.flatten(1), full_matrices=False)
    block.weight_u.copy_(left[:, 0])
    block.weight_v.copy_(right[0])
    assert values[0] > 2
    assert torch.linalg.matrix_norm(block.normalised().flatten(1), 2) == pytest.approx(1, abs=1e-5)


def test_norms_without_parameters_are_found_and_left_out() -> None:
    block = nn.ModuleDict({"a": shaken(SameBlock2d(8, 8)), "b": shaken(SameBlock2d(8, 8))})
    names = [name for name in block.state_dict() if not name.startswith("a.norm")]
    assert absent_norms(block, names) == ["a.norm"]
    assert absent_norms(block, [*names, "a.norm.weight"]) == []
    without(block, ["a.norm"])
    x = torch.randn(PLANE)
    assert torch.equal(block["a"](x), F.relu(block["a"].conv(x)))
    assert set(block.state_dict()) == set(names)


def test_the_grid_goes_from_corner_to_corner_x_first() -> None:
    grid = volume_grid((2, 3, 5), torch.zeros(1))
    assert grid.shape == (2, 3, 5, 3)
    assert grid[0, 0, 0].tolist() == [-1, -1, -1] and grid[1, 2, 4].tolist() == [1, 1, 1]
    assert grid[0, 0, 1].tolist() == [-0.5, -1, -1] and grid[0, 1, 0].tolist() == [-1, 0, -1]


def test_one_sampling_of_all_candidates_is_each_of_them() -> None:
    torch.manual_seed(0)
    volume, candidates = torch.randn(2, 3, 4, 6, 6), torch.rand(2, 5, 4, 6, 6, 3) * 2.4 - 1.2
    together = _sampled(volume, candidates)
    for number in range(5):
        alone = F.grid_sample(volume, candidates[:, number], align_corners=False)
        assert torch.allclose(together[:, number], alone, atol=1e-6)


def test_shrinking_keeps_a_plain_picture_and_its_middle() -> None:
    out = Shrink()(torch.full((1, 3, 64, 64), 0.7))
    assert out.shape == (1, 3, 16, 16)
    assert torch.allclose(out[..., 2:-2, 2:-2], torch.tensor(0.7), atol=1e-6)
