from __future__ import annotations

import math

import pytest
import torch

from shared.models import compact


def motions(batch: int, seed: int = 0) -> compact.MotionTensors:
    chance = torch.Generator().manual_seed(seed)
    k = compact.KEYPOINTS
    return compact.MotionTensors(
        canonical=torch.rand((batch, k, 3), generator=chance) - 0.5,
        rotation=torch.rand((batch, 3), generator=chance) - 0.5,
        scale=torch.rand((batch, 1), generator=chance) + 0.5,
        translation=torch.rand((batch, 2), generator=chance) - 0.5,
        expression=0.1 * torch.randn((batch, k, 3), generator=chance),
    )


@pytest.fixture(scope="module")
def network() -> compact.CompactNetwork:
    torch.manual_seed(0)
    return compact.CompactNetwork().eval().requires_grad_(False)


def test_heatmaps_are_the_gaussians_of_their_formula() -> None:
    points = torch.tensor([[[0.0, 0.5], [-1.0, 1.0]]])
    maps = compact.heatmaps(points, 9, 0.1)
    g = compact.grid(9, points.device)
    expected = torch.exp(-((g[None] - points[0, :, None, None]) ** 2).sum(-1) / 0.1)
    assert maps.shape == (1, 2, 9, 9)
    assert torch.allclose(maps[0], expected, atol=1e-6)
    assert maps[0, 1, 8, 0] == 1


def test_the_identity_flow_copies_the_picture() -> None:
    picture = torch.rand(2, 3, 16, 16)
    flow = compact.grid(16, picture.device).expand(2, -1, -1, -1)
    assert torch.allclose(compact.warp(picture, flow), picture, atol=1e-5)
    assert torch.allclose(compact.resize_flow(flow, 32), compact.grid(32, picture.device), atol=1e-6)


def test_the_flow_matrix_of_equal_motions_is_the_identity() -> None:
    motion = motions(3)
    assert torch.allclose(compact.flow_matrix(motion, motion), torch.eye(2).expand(3, 2, 2), atol=1e-6)


def test_the_flow_matrix_of_a_roll_turns_back() -> None:
    still = motions(1)._replace(rotation=torch.zeros(1, 3), scale=torch.ones(1, 1))
    rolled = still._replace(rotation=torch.tensor([[0.0, 0.0, math.radians(90)]]), scale=torch.full((1, 1), 2.0))
    expected = torch.tensor([[[0.0, 0.5], [-0.5, 0.0]]])
    assert torch.allclose(compact.flow_matrix(still, rolled), expected, atol=1e-6)


@pytest.mark.parametrize("size", [128, 256])
def test_shapes_of_a_drawing(network: compact.CompactNetwork, size: int) -> None:
    picture = torch.rand(2, 3, size, size)
    features = network.encoder(picture)
    assert features.features.shape == (2, compact.FEATURES, size // 4, size // 4)
    assert features.compressed.shape == (2, compact.COMPRESSED, size // 8, size // 8)
    source, driving = motions(2), motions(2, 1)
    drawn, warped, painted, copied = network.draw(features, source.canonical, source, driving)
    assert drawn.shape == warped.shape == painted.shape == (2, 3, size, size)
    assert copied.shape == (2, 1, size, size)
    for each in (drawn, warped, painted, copied):
        assert -1e-5 < float(each.min()) <= float(each.max()) < 1 + 1e-5
    low, high = torch.minimum(warped, painted), torch.maximum(warped, painted)
    assert bool(((low - 1e-5 <= drawn) & (drawn <= high + 1e-5)).all())  # a blend of the two


def test_an_untrained_network_begins_near_the_source(network: compact.CompactNetwork) -> None:
    smooth = torch.linspace(0, 1, 128).expand(1, 3, 128, 128).contiguous()
    motion = motions(1)
    drawn, warped, _, _ = network.draw(network.encoder(smooth), motion.canonical, motion, motion)
    assert float((warped - smooth).abs().mean()) < 0.05
    assert float((drawn - smooth).abs().mean()) < 0.15


def test_the_motion_network_gives_what_a_motion_is(network: compact.CompactNetwork) -> None:
    motion = network.motion(torch.rand(2, 3, 256, 256))
    assert [tuple(t.shape) for t in motion] == [(2, 28, 3), (2, 3), (2, 1), (2, 2), (2, 28, 3)]
    assert float(motion.scale.min()) > 0
    assert motion.condition().shape == (2, 3 * compact.KEYPOINTS + 6)


def test_batches_do_not_mix(network: compact.CompactNetwork) -> None:
    pictures, source, driving = torch.rand(2, 3, 128, 128), motions(2), motions(2, 1)
    both = network.draw(network.encoder(pictures), source.canonical, source, driving).picture
    alone = [compact.MotionTensors(*(t[1:] for t in each)) for each in (source, driving)]
    second = network.draw(network.encoder(pictures[1:]), alone[0].canonical, *alone).picture
    assert torch.allclose(both[1:], second, atol=1e-4)


def test_painted_keypoints_are_supervised_ones() -> None:
    assert max(compact.PAINTED) < len(compact.LANDMARKS) <= compact.KEYPOINTS
    assert len(set(compact.PAINTED)) == len(compact.PAINTED)
    assert len(set(compact.LANDMARKS)) == len(compact.LANDMARKS)
