from __future__ import annotations

import math

import pytest
import torch

from shared.models import base_fusion, compact, dense_motion, layers


def motions(batch: int, seed: int = 0) -> layers.MotionTensors:
    chance = torch.Generator().manual_seed(seed)
    k = layers.KEYPOINTS
    return layers.MotionTensors(
        canonical=torch.rand((batch, k, 3), generator=chance) - 0.5,
        rotation=torch.rand((batch, 3), generator=chance) - 0.5,
        scale=torch.rand((batch, 1), generator=chance) + 0.5,
        translation=torch.rand((batch, 2), generator=chance) - 0.5,
        expression=0.1 * torch.randn((batch, k, 3), generator=chance),
    )


def draw(
    network: compact.CompactNetwork,
    sources: list[tuple[torch.Tensor, layers.MotionTensors]],
    driving: layers.MotionTensors,
    weights: tuple[float, ...] = (1.0,),
) -> compact.Drawn:
    given = [dense_motion.Source(network.encoder(picture), motion.canonical, motion) for picture, motion in sources]
    return network.draw(given, torch.tensor([weights]).expand(len(driving.scale), -1), driving)


@pytest.fixture(scope="module")
def network() -> compact.CompactNetwork:
    torch.manual_seed(0)
    return compact.CompactNetwork().eval().requires_grad_(False)


def test_heatmaps_are_the_gaussians_of_their_formula() -> None:
    points = torch.tensor([[[0.0, 0.5], [-1.0, 1.0]]])
    maps = layers.heatmaps(points, 9, 0.1)
    g = layers.grid(9, points.device)
    expected = torch.exp(-((g[None] - points[0, :, None, None]) ** 2).sum(-1) / 0.1)
    assert maps.shape == (1, 2, 9, 9)
    assert torch.allclose(maps[0], expected, atol=1e-6)
    assert maps[0, 1, 8, 0] == 1


def test_the_identity_flow_copies_the_picture() -> None:
    picture = torch.rand(2, 3, 16, 16)
    flow = layers.grid(16, picture.device).expand(2, -1, -1, -1)
    assert torch.allclose(layers.warp(picture, flow), picture, atol=1e-5)
    assert torch.allclose(layers.resize_flow(flow, 32), layers.grid(32, picture.device), atol=1e-6)


def test_the_flow_matrix_of_equal_motions_is_the_identity() -> None:
    motion = motions(3)
    assert torch.allclose(layers.flow_matrix(motion, motion), torch.eye(2).expand(3, 2, 2), atol=1e-6)


def test_the_flow_matrix_of_a_roll_turns_back() -> None:
    still = motions(1)._replace(rotation=torch.zeros(1, 3), scale=torch.ones(1, 1))
    rolled = still._replace(rotation=torch.tensor([[0.0, 0.0, math.radians(90)]]), scale=torch.full((1, 1), 2.0))
    expected = torch.tensor([[[0.0, 0.5], [-0.5, 0.0]]])
    assert torch.allclose(layers.flow_matrix(still, rolled), expected, atol=1e-6)


@pytest.mark.parametrize("size", [128, 256])
def test_shapes_of_a_drawing(network: compact.CompactNetwork, size: int) -> None:
    picture = torch.rand(2, 3, size, size)
    features = network.encoder(picture)
    assert features.features.shape == (2, 48, size // 4, size // 4)
    assert features.compressed.shape == (2, dense_motion.COMPRESSED, size // 8, size // 8)
    source, driving = motions(2), motions(2, 1)
    drawn, warped, painted, copied, gain, correction = draw(network, [(picture, source)], driving)
    assert drawn.shape == warped.shape == painted.shape == (2, 3, size, size)
    assert copied.shape == gain.shape == (2, 1, size, size) and correction is None
    assert 0 <= float(gain.min()) <= float(gain.max()) <= 2.8
    for each in (drawn, warped, painted, copied):
        assert -1e-5 < float(each.min()) <= float(each.max()) < 1 + 1e-5
    flat = compact.blend(painted, copied, warped, torch.zeros_like(gain))
    low, high = torch.minimum(warped, painted), torch.maximum(warped, painted)
    assert bool(((low - 1e-5 <= flat) & (flat <= high + 1e-5)).all())  # without gain a blend of the two
    assert torch.allclose(drawn, compact.blend(painted, copied, warped, gain))


def test_an_untrained_network_begins_near_the_source(network: compact.CompactNetwork) -> None:
    smooth = torch.linspace(0, 1, 128).expand(1, 3, 128, 128).contiguous()
    motion = motions(1)
    drawn, warped, *_ = draw(network, [(smooth, motion)], motion)
    assert float((warped - smooth).abs().mean()) < 0.05
    assert float((drawn - smooth).abs().mean()) < 0.15


def test_the_motion_network_gives_what_a_motion_is(network: compact.CompactNetwork) -> None:
    motion = network.motion(torch.rand(2, 3, 256, 256))
    assert [tuple(t.shape) for t in motion] == [(2, 28, 3), (2, 3), (2, 1), (2, 2), (2, 28, 3)]
    assert float(motion.scale.min()) > 0
    assert motion.condition().shape == (2, 3 * layers.KEYPOINTS + 6)


def test_batches_do_not_mix(network: compact.CompactNetwork) -> None:
    pictures, source, driving = torch.rand(2, 3, 128, 128), motions(2), motions(2, 1)
    both = draw(network, [(pictures, source)], driving).picture
    alone = [layers.MotionTensors(*(t[1:] for t in each)) for each in (source, driving)]
    second = draw(network, [(pictures[1:], alone[0])], alone[1]).picture
    assert torch.allclose(both[1:], second, atol=1e-4)


def test_painted_keypoints_are_supervised_ones() -> None:
    assert max(dense_motion.PAINTED) < len(layers.LANDMARKS) <= layers.KEYPOINTS
    assert len(set(dense_motion.PAINTED)) == len(dense_motion.PAINTED)
    assert len(set(layers.LANDMARKS)) == len(layers.LANDMARKS)


def test_a_source_of_no_weight_has_no_influence(network: compact.CompactNetwork) -> None:
    (one, other), driving = ((torch.rand(1, 3, 128, 128), motions(1, seed)) for seed in (0, 1)), motions(1, 2)
    alone = draw(network, [one], driving).picture
    assert torch.allclose(draw(network, [one, other], driving, (1.0, 0.0)).picture, alone, atol=1e-5)
    assert not torch.allclose(draw(network, [one, other], driving, (1.0, 1.0)).picture, alone, atol=1e-2)


def test_a_source_whose_keypoints_are_nearer_counts_more(network: compact.CompactNetwork) -> None:
    driving = motions(1)
    far = driving._replace(translation=driving.translation + 0.3)
    near, other = torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128)
    fused = draw(network, [(near, driving), (other, far)], driving, (0.5, 0.5)).warped
    apart = [
        float((fused - draw(network, [each], driving).warped).abs().mean()) for each in ((near, driving), (other, far))
    ]
    assert apart[0] < 0.3 * apart[1]


def test_shares_change_as_evenly_as_weights_however_much_better_a_source_is() -> None:
    logits = torch.tensor([[[0.0], [9.0]]])  # one place, and the second source shows it far better
    shares = [compact.shared_out(logits, torch.tensor([[1.0, w]]))[0, 1, 0].item() for w in (1e-6, 0.25, 0.5, 1.0)]
    assert shares == pytest.approx([0, 0.25, 0.5, 1], abs=1e-3)


def test_shares_sum_to_one_and_full_weights_are_a_softmax() -> None:
    logits, weights = torch.randn(2, 3, 5), torch.tensor([[0.2, 0.7, 0.7], [0.1, 0.0, 0.3]])
    shares = compact.shared_out(logits, weights)
    assert torch.allclose(shares.sum(1), torch.ones(2, 5))
    assert (shares[1, 1] == 0).all()
    assert torch.allclose(compact.shared_out(logits, torch.ones(2, 3)), logits.softmax(1))


def test_neighbouring_places_move_alike_though_other_channels_move_them(network: compact.CompactNetwork) -> None:
    head = network.dense_motion.head[0]
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.normal_(head.bias)
    still, points = motions(1), torch.rand(1, layers.KEYPOINTS, 3) - 0.5
    source = network.encoder(torch.rand(1, 3, 128, 128))
    flow = network.dense_motion(source, layers.flow_matrix(still, still), points, points).flow
    moved = (flow - layers.grid(32, flow.device))[0, 1:-1, 1:-1]
    assert float(moved.std((0, 1)).max()) < 1e-5 < float(moved.abs().max())


def test_order_does_not_matter(network: compact.CompactNetwork) -> None:
    sources, driving = [(torch.rand(1, 3, 128, 128), motions(1, seed)) for seed in range(3)], motions(1, 4)
    one = draw(network, sources, driving, (0.2, 0.7, 1.0)).picture
    other = draw(network, sources[::-1], driving, (1.0, 0.7, 0.2)).picture
    assert torch.allclose(one, other, atol=1e-4)


def test_the_larger_generator_is_about_ten_times_the_compact_one() -> None:
    def size(name: str) -> int:
        network = compact.CompactNetwork(dense_motion.GENERATORS[name])
        return sum(p.numel() for key, p in network.named_parameters() if not key.startswith("motion."))

    assert 8 < size("standard") / size("compact") < 16
    assert 2 * size("standard") < 32e6  # bytes in fp16


def test_gain_brings_out_detail_and_leaves_what_is_flat() -> None:
    nothing, all_copied = torch.zeros(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    flat, stripes = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 0.5)
    stripes[..., ::2] = 0.6
    for picture, more in ((flat, 0.0), (stripes, 0.05)):
        drawn = compact.blend(nothing, all_copied, picture, all_copied)
        assert float(drawn[..., 1:-1].std() - picture[..., 1:-1].std()) == pytest.approx(more, abs=2e-3)
    assert torch.equal(compact.softened(flat), flat)


def told_of(network: compact.CompactNetwork, presence: float, picture: torch.Tensor) -> base_fusion.Base:
    state = torch.tensor([base_fusion.base_state(presence, 0.04, 128, 63)]).expand(len(picture), -1)
    return base_fusion.Base(picture, motions(len(picture), 1), state)


def taught() -> compact.CompactNetwork:
    """A network whose layers for the base are no longer nothing."""
    torch.manual_seed(1)
    network = compact.CompactNetwork().eval().requires_grad_(False)
    for parameter in network.base.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    return network


def with_base(
    network: compact.CompactNetwork, base: base_fusion.Base | None, weights: tuple[float, ...] = (1.0,)
) -> compact.Drawn:
    torch.manual_seed(3)
    given = [
        dense_motion.Source(network.encoder(torch.rand(2, 3, 128, 128)), motion.canonical, motion)
        for motion in (motions(2, seed) for seed in range(len(weights)))
    ]
    return network.draw(given, torch.tensor([weights]).expand(2, -1), motions(2, 1), base)


@pytest.mark.parametrize("weights", [(1.0,), (0.7, 0.3)])
def test_a_base_that_is_not_there_changes_nothing(weights: tuple[float, ...]) -> None:
    network = taught()
    none = with_base(network, None, weights)
    absent = with_base(network, told_of(network, 0.0, torch.rand(2, 3, 128, 128)), weights)
    there = with_base(network, told_of(network, 1.0, torch.rand(2, 3, 128, 128)), weights)
    assert torch.allclose(none.picture, absent.picture, atol=1e-5)
    assert none.correction is None and absent.correction is not None
    assert float((none.picture - there.picture).abs().mean()) > 0.01


def test_an_untrained_fusion_is_an_exchange_of_low_frequencies(network: compact.CompactNetwork) -> None:
    without = with_base(network, None).picture
    brighter = (without + 0.2).clamp(0, 0.9)  # nothing has moved since, as far as keypoints know
    drawn = with_base(network, told_of(network, 1.0, brighter))
    nearer = (drawn.picture - brighter).abs().mean() / (without - brighter).abs().mean()
    assert float(nearer) < 0.3
    assert torch.equal(drawn.painted, with_base(network, None).painted)


def test_a_base_fades_in_evenly(network: compact.CompactNetwork) -> None:
    white = torch.ones(2, 3, 128, 128)
    levels = [float(with_base(network, told_of(network, each, white)).picture.mean()) for each in (0, 0.5, 1)]
    assert levels[1] == pytest.approx((levels[0] + levels[2]) / 2, abs=0.02) and levels[2] > levels[0] + 0.1


def test_a_base_picture_is_carried_along_by_the_keypoints() -> None:
    picture = torch.zeros(1, 3, 128, 128)
    picture[..., 60:68, 60:68] = 1
    points = torch.zeros(1, layers.KEYPOINTS, 3)
    now = points + torch.tensor([0.25, 0.0, 0.0])
    carried = base_fusion.BaseFusion._carried(picture, points, now)[0, 0]
    at = (carried.sum(0) * torch.arange(128.0)).sum() / carried.sum()
    assert float(at) == pytest.approx(63.5 + 0.25 * 63.5, abs=1)
    still = base_fusion.BaseFusion._carried(picture, points, points)
    assert torch.allclose(still, picture, atol=1e-4)


def test_a_large_base_finely_coded_is_the_picture_and_a_coarse_one_leaves_the_finest_to_the_sources(
    network: compact.CompactNetwork,
) -> None:
    def away(crf: int) -> tuple[float, float]:
        """How far from the base: all of it, and in the finest octave, where the base has noise and the sources not."""
        state = torch.tensor([base_fusion.base_state(1.0, 0.0, 256, crf)]).expand(2, -1)
        told = network.base(base_fusion.Base(true, motions(2), state), motions(2).canonical, motions(2))
        told = told._replace(carried=true)
        drawn = smooth + network.base.exchanged(
            smooth, told, torch.zeros(2, dense_motion.GENERATORS["compact"].half, 64, 64)
        )
        apart = true - drawn
        return float(apart.abs().mean()), float((apart - layers.softened(apart)).abs().mean())

    smooth = torch.full((2, 3, 128, 128), 0.5)
    true = smooth + 0.05 * torch.rand(smooth.shape, generator=torch.Generator().manual_seed(0))
    fine, usual = away(50), away(65)
    assert fine[0] < 0.15 * usual[0]
    assert usual[1] == pytest.approx(float((true - layers.softened(true)).abs().mean()), rel=0.05)


def test_edges_that_the_base_has_nothing_of_do_not_stay() -> None:
    flat, edge = torch.full((1, 3, 128, 128), 0.5), torch.full((1, 3, 128, 128), 0.5)
    edge[..., 64:68] = 1
    soft = layers.softened(layers.softened(edge))
    gone, there, softly, nothing = (
        base_fusion._unlike(*pair)[0, 0] for pair in ((edge, flat), (edge, edge), (edge, soft), (flat, flat))
    )
    assert float(gone[32, 33]) > 0.9 and float(gone[32, 5]) < 0.01
    assert float(there.max()) == float(softly.max()) == float(nothing.max()) == 0


def test_a_larger_drawing_takes_the_same_correction(network: compact.CompactNetwork) -> None:
    base = told_of(network, 1.0, torch.ones(2, 3, 128, 128))
    encoded = network.encoder(torch.rand(2, 3, 128, 128))
    small, large = (
        network.draw(
            [dense_motion.Source(encoded, motions(2).canonical, motions(2), fine)], torch.ones(2, 1), motions(2), base
        )
        for fine in (None, torch.rand(2, 3, 256, 256))
    )
    assert large.picture.shape[-1] == 256
    assert small.correction is not None and torch.equal(small.correction, large.correction)
