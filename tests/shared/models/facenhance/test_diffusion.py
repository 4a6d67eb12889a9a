from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from shared.models.facenhance.diffusion import (
    STEPS,
    SamplerError,
    _scheduler,
    by_diffusers,
    clean_of,
    ddim,
    drawing_steps,
    kept,
    noised,
    sample,
)


def noise(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_noise_takes_the_pictures_place() -> None:
    shares = kept()
    assert bool((shares.diff() < 0).all()) and float(shares[0]) > 0.999 and float(shares[-1]) < 1e-4


def test_the_clean_frame_comes_back_from_either_prediction() -> None:
    clean, added, step = noise(1).clamp(-1, 1), noise(2), torch.tensor([10, 400])
    noisy = noised(clean, step, added)
    assert torch.allclose(clean_of("epsilon", added, noisy, step), clean, atol=1e-4)
    assert torch.equal(clean_of("x0", clean, noisy, step), clean)


def test_steps_begin_with_pure_noise_and_go_down() -> None:
    assert drawing_steps(1) == [999] and drawing_steps(4) == [999, 749, 499, 249]
    assert drawing_steps(STEPS) == list(range(999, -1, -1))
    with pytest.raises(ValueError, match="1 to 1000"):
        drawing_steps(0)


@pytest.mark.parametrize("count", [1, 2, 8, 100])
@pytest.mark.parametrize("prediction", ["x0", "epsilon"])
def test_who_knows_the_answer_draws_it(prediction: str, count: int) -> None:
    truth = noise(3).clamp(-0.9, 0.9)

    def perfect(x: Tensor, step: Tensor) -> Tensor:
        share = kept()[step][:, None, None, None]
        return truth if prediction == "x0" else (x - share.sqrt() * truth) / (1 - share).sqrt()

    assert torch.allclose(ddim(perfect, noise(), count, prediction), truth, atol=2e-3)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
@pytest.mark.parametrize("prediction", ["x0", "epsilon"])
def test_our_steps_are_those_of_diffusers(prediction: str, count: int) -> None:
    pytest.importorskip("diffusers")

    def predict(x: Tensor, step: Tensor) -> Tensor:
        return torch.tanh(0.8 * x + step[:, None, None, None] / STEPS)

    ours = ddim(predict, noise(), count, prediction)
    theirs = by_diffusers(_scheduler("auto", prediction), predict, noise(), count)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert bool(torch.isfinite(sample(predict, noise(), count, prediction, "dpm")).all())


def test_the_solver_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(SamplerError, match="diffusion"):
        sample(lambda x, _: x, noise(), 2, "x0", "dpm")
    assert torch.equal(sample(lambda x, _: x, noise(), 2, "x0"), ddim(lambda x, _: x, noise(), 2, "x0"))
