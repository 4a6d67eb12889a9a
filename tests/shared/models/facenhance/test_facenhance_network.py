from __future__ import annotations

import pytest
import torch

from shared.models.facenhance.network import (
    PAPER,
    Conditions,
    FacEnhanceNetwork,
    NetworkSettings,
    enlarged,
    parameters,
)

SMALL = {"size": 32, "width": 8}


def conditions(size: int, count: int = 2) -> Conditions:
    random = torch.Generator().manual_seed(1)
    known, previous = (torch.rand(count, 3, size, size, generator=random) * 2 - 1 for _ in range(2))
    return Conditions(known, previous, torch.rand(count, 3, 64, 64, generator=random) * 2 - 1)


def lively(settings: NetworkSettings) -> FacEnhanceNetwork:
    """A network whose layers that begin at zero do something."""
    torch.manual_seed(0)
    network = FacEnhanceNetwork(settings)
    with torch.no_grad():
        for each in network.parameters():
            each.add_(torch.randn(each.shape) * 0.02)
    return network


def test_the_papers_setting_has_its_levels_and_channels() -> None:
    with torch.device("meta"):
        network = FacEnhanceNetwork(PAPER)
    assert PAPER.channels == 9 and network.first.in_channels == 9
    assert [block.after.out_channels for block in network.down] == [128, 128, 256, 256, 512, 1024]  # type: ignore[union-attr]
    assert network.attention_down.query.in_features == 512
    assert parameters(network) == 101_469_827


@pytest.mark.parametrize("changes", [{}, {"guided": True}, {"previous": False}, {"expression": False}, {"size": 64}])
def test_a_prediction_has_the_shape_of_the_frame(changes: dict[str, int]) -> None:
    settings = NetworkSettings(**{**SMALL, **changes})
    network = FacEnhanceNetwork(settings)
    noisy = torch.randn(2, 3, settings.size, settings.size)
    assert network(noisy, torch.tensor([0, 999]), conditions(settings.size)).shape == noisy.shape


@torch.no_grad()
@pytest.mark.parametrize("part", ["identity", "previous", "low"])
def test_every_condition_changes_the_prediction(part: str) -> None:
    network, given = lively(NetworkSettings(**SMALL)), conditions(32)
    noisy, step = torch.randn(2, 3, 32, 32), torch.tensor([500, 500])
    changed = given._replace(**{part: -getattr(given, part)})
    assert float((network(noisy, step, given) - network(noisy, step, changed)).abs().max()) > 1e-5


@pytest.mark.parametrize(("setting", "part"), [("previous", "previous"), ("expression", "low")])
def test_an_ablated_condition_changes_nothing(setting: str, part: str) -> None:
    network, given = lively(NetworkSettings(**SMALL, **{setting: False})), conditions(32)
    noisy, step = torch.randn(2, 3, 32, 32), torch.tensor([500, 500])
    changed = given._replace(**{part: -getattr(given, part)})
    assert torch.equal(network(noisy, step, given), network(noisy, step, changed))


def test_a_guided_network_begins_as_enlargement() -> None:
    given = conditions(32)
    drawn = FacEnhanceNetwork(NetworkSettings(**SMALL, guided=True))(
        torch.randn(2, 3, 32, 32), torch.tensor([1, 2]), given
    )
    assert torch.allclose(drawn, enlarged(given.low, 32))


@pytest.mark.parametrize("wrong", [{"size": 100}, {"width": 12}, {"prediction": "v"}, {"attention": 6}])
def test_settings_that_no_network_has_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"."):
        NetworkSettings(**wrong)
