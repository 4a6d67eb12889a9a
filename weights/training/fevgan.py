"""The training of FEV-GAN's own network: adversarial, reconstruction and identity losses, on videos with labels.

No weights of it are shipped: it needs hundreds of labelled videos from neutral to apex (theirs are of MUG and
Oulu-CASIA, which are given to researchers who ask). `FevTrainer` takes any such set as tensors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.fevgan import FevDiscriminator, FevGenerator

ADVERSARIAL, RECONSTRUCTION, IDENTITY = 1.0, 100.0, 1.0
"""Weights of the losses; the paper's own are not known here, these are usual for pictures made of pictures."""


class FevLosses(NamedTuple):
    """Of one step."""

    reconstruction: float
    adversarial: float
    identity: float
    discriminator: float


class FevTrainer:
    """Both networks with their optimisers."""

    def __init__(self, width: int = 64, identity: nn.Module | None = None, rate: float = 2e-4, seed: int = 0) -> None:
        """`identity`: a pre-trained face encoder, as `FevGenerator` takes it; without it there is no identity loss."""
        torch.manual_seed(seed)
        self.generator, self.discriminator = FevGenerator(width, identity), FevDiscriminator(width)
        self._judges_identity = identity is not None
        self._drawing, self._judging = (
            torch.optim.Adam((p for p in network.parameters() if p.requires_grad), lr=rate, betas=(0.5, 0.999))
            for network in (self.generator, self.discriminator)
        )

    def step(self, video: Tensor, label: Tensor) -> FevLosses:
        """One step of each network on (B, 3, 32, 64, 64) videos that begin neutral, and (B,) labels."""
        picture = video[:, :, 0]
        drawn = self.generator(picture, label)
        real, fake = self.discriminator(video, label), self.discriminator(drawn.detach(), label)
        judging = _cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0)
        self._judging.zero_grad(set_to_none=True)
        judging.backward()  # type: ignore[no-untyped-call]
        self._judging.step()
        reconstruction = (drawn - video).abs().mean()
        adversarial = _cross_entropy(self.discriminator(drawn, label), 1.0)
        same = self._identity_loss(drawn, picture)
        loss = RECONSTRUCTION * reconstruction + ADVERSARIAL * adversarial + IDENTITY * same
        self._drawing.zero_grad(set_to_none=True)
        loss.backward()
        self._drawing.step()
        return FevLosses(*(float(each.detach()) for each in (reconstruction, adversarial, same, judging)))

    def _identity_loss(self, drawn: Tensor, picture: Tensor) -> Tensor:
        """How far the identity encoder sees the drawn frames from the picture."""
        if not self._judges_identity:
            return torch.zeros(())
        codes = self.generator.identity(drawn.transpose(1, 2).flatten(0, 1)).view(len(drawn), drawn.shape[2], -1)
        return F.l1_loss(codes, self.generator.identity(picture)[:, None].expand_as(codes))


def _cross_entropy(logits: Tensor, wanted: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, wanted))
