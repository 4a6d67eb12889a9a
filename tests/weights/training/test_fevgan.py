from __future__ import annotations

import torch
from torch import Tensor, nn

from shared.models.fevgan import FRAMES, IDENTITY, SIDE, FevDiscriminator, FevGenerator, PictureEncoder
from weights.training.fevgan import FevTrainer


def toys() -> tuple[Tensor, Tensor]:
    """(4, 3, 32, 64, 64) videos of two people with two labels each: a mouth on their colour brightens, or darkens."""
    videos, labels = torch.full((4, 3, FRAMES, SIDE, SIDE), -0.8), torch.tensor([0, 5, 0, 5])
    for number, video in enumerate(videos):
        video[number // 2] = 0.2
        for frame in range(FRAMES):
            video[:, frame, 24:56, 8:56] = (0.9 if labels[number] else -0.9) * frame / (FRAMES - 1)
    return videos, labels


def test_it_learns_whose_picture_it_is_and_what_the_label_does() -> None:
    torch.set_num_threads(1)
    videos, labels = toys()
    trainer = FevTrainer(width=4, rate=4e-3)
    losses = [trainer.step(videos, labels).reconstruction for _ in range(50)]
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        apex = trainer.generator(videos[:, :, 0], labels)[:, :, -1]
    nearest = [int((videos[:, :, -1] - each).abs().mean((1, 2, 3)).argmin()) for each in apex]
    assert nearest == [0, 1, 2, 3]


def test_a_given_identity_encoder_is_kept_as_it_is_and_judges() -> None:
    torch.manual_seed(1)
    encoder: nn.Module = PictureEncoder(IDENTITY, 4)
    trainer = FevTrainer(width=4, identity=encoder)
    before = [each.clone() for each in encoder.parameters()]
    videos, labels = toys()
    assert trainer.step(videos[:2], labels[:2]).identity > 0
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


def test_shapes_and_numbers_of_parameters() -> None:
    generator, discriminator = FevGenerator(), FevDiscriminator()
    with torch.no_grad():
        video = generator(torch.zeros(2, 3, SIDE, SIDE), torch.tensor([0, 5]))
        assert video.shape == (2, 3, FRAMES, SIDE, SIDE)
        assert discriminator(video, torch.tensor([0, 5])).shape == (2,)
    encoder = 3 * 64 * 16 + 64 + sum(a * 2 * a * 16 + 2 * a + 4 * a for a in (64, 128, 256)) + 512 * 16 * 256 + 256
    assert sum(p.numel() for p in generator.spatial.parameters()) == encoder
    unfold = sum(a * b * 64 + 3 * b for a, b in ((518, 256), (256, 128), (128, 64))) + 64 * 3 * 64 + 3
    assert sum(p.numel() for p in generator.unfold.parameters()) == unfold
    judged = 9 * 64 * 64 + 64 + sum(a * 2 * a * 64 + 2 * a + 4 * a for a in (64, 128, 256)) + 512 * 32 + 1
    assert sum(p.numel() for p in discriminator.parameters()) == judged
