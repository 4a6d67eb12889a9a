from __future__ import annotations

import pytest
import torch
from torch import Tensor

from shared.models.facenhance.algorithms import PREVIOUS_STEP, draw_frame, draw_video, training_loss, with_noise
from shared.models.facenhance.diffusion import kept
from shared.models.facenhance.network import Conditions, FacEnhanceNetwork, NetworkSettings

TOY = NetworkSettings(size=16, width=8, multipliers=(1, 2), attention=1)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def toy_rows(count: int, seed: torch.Generator) -> tuple[Tensor, Conditions]:
    """Plain frames whose brightness only the small one has, and whose colour only the identity picture has."""
    colour = torch.rand(count, 3, 1, 1, generator=seed) - 0.5
    light, before = (torch.rand(count, 1, 1, 1, generator=seed) - 0.5 for _ in range(2))
    whole = torch.ones(count, 3, 16, 16)
    low = light * torch.ones(count, 3, 64, 64)
    return (colour + light) * whole, Conditions(colour * whole, (colour + before) * whole, low)


@pytest.fixture(scope="module")
def trained() -> FacEnhanceNetwork:
    torch.manual_seed(0)
    network, seed = FacEnhanceNetwork(TOY), random()
    optimiser = torch.optim.Adam(network.parameters(), lr=6e-3)
    for _ in range(110):
        clean, conditions = toy_rows(8, seed)
        optimiser.zero_grad()
        training_loss(network, clean, conditions, seed).backward()
        optimiser.step()
    return network.eval()


@torch.no_grad()
def test_a_network_learns_identity_and_expression(trained: FacEnhanceNetwork) -> None:
    clean, conditions = toy_rows(32, random(5))
    drawn = draw_frame(trained, conditions, random(), 4)
    error = float((drawn - clean).abs().mean())
    assert error < 0.85 * float(clean.abs().mean())
    unlike = conditions._replace(low=conditions.low.roll(1, 0))
    assert float((draw_frame(trained, unlike, random(), 4) - clean).abs().mean()) > 1.15 * error


@torch.no_grad()
def test_a_video_has_a_frame_for_each_and_each_has_the_one_before() -> None:
    seen: list[Tensor] = []

    class Watched(FacEnhanceNetwork):
        def forward(self, noisy: Tensor, step: Tensor, conditions: Conditions) -> Tensor:
            seen.append(conditions.previous)
            return torch.full_like(noisy, 0.1 * len(seen))

    _, (identity, _, low) = toy_rows(1, random())
    frames = list(draw_video(Watched(TOY), identity, [low] * 3, random(), 1, previous_noise=False))
    assert len(frames) == 3
    assert torch.equal(seen[0], identity) and torch.equal(seen[1], frames[0]) and torch.equal(seen[2], frames[1])


def test_the_same_noise_gives_the_same_video(trained: FacEnhanceNetwork) -> None:
    _, (identity, _, low) = toy_rows(1, random(3))
    with torch.no_grad():
        first, again = (list(draw_video(trained, identity, [low] * 2, random(1), 2)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_noise_on_the_previous_frame_has_its_level() -> None:
    flat = torch.zeros(4, 3, 64, 64)
    noisy = with_noise(Conditions(flat, flat, flat), random())
    assert torch.equal(noisy.identity, flat)
    assert float(noisy.previous.std()) == pytest.approx(float((1 - kept()[PREVIOUS_STEP]).sqrt()), rel=0.02)
