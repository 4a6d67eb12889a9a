"""Options that both commands have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from receiver.__main__ import parse as parse_receiver
from receiver.settings import ReceiverContext, ReceiverSettings
from sender.__main__ import parse as parse_sender
from sender.call import SenderSettings, prepare_sending


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts back how many threads there are."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_the_precision_is_an_option_of_both(precision: str) -> None:
    option = [] if precision == "auto" else ["--precision", precision]
    assert parse_receiver(option).receiving.precision == precision
    assert parse_sender(["--peer", "by-hand", *option]).sending.precision == precision


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_whoever_draws_draws_in_it(precision: str) -> None:
    settings = ReceiverSettings(device="cpu", precision=precision, backend="torch", upscaler="bicubic")
    assert ReceiverContext.open(settings).engine.precision == precision
    prepared = prepare_sending(SenderSettings(None, "sample", device="cpu", precision=precision))
    prepared.give_back()
    assert prepared.half.precision == precision
