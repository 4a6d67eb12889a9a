"""Names of ESRGAN's tensors in the files that people have, and the ones we use.

Three layouts of one network (Wang et al. 2018, "ESRGAN") are about: `RRDB_trunk.0.RDB1.conv1` of its published weights,
which are our names; `body.0.rdb1.conv1` of BasicSR and Real-ESRGAN, wrapped in `params_ema` or `params`; and
`model.1.sub.0.RDB1.conv1.0` of the first release, where the place in a sequence is the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from shared.models.stored_weights import Converted

FILE = "esrgan.safetensors"
"""Name of converted weights in the user's store."""

_BASICSR = {
    "conv_first": "conv_first",
    "conv_body": "trunk_conv",
    "conv_up1": "upconv1",
    "conv_up2": "upconv2",
    "conv_hr": "HRconv",
    "conv_last": "conv_last",
}
_SEQUENCE = {"0": "conv_first", "3": "upconv1", "6": "upconv2", "8": "HRconv", "10": "conv_last"}
"""Convolutions of the first release for x4; between them lie the trunk (1), enlargements and activations."""
_BASICSR_BLOCK = re.compile(r"body\.(\d+)\.rdb([123])\.(conv[1-5])\.(weight|bias)")
_SEQUENCE_BLOCK = re.compile(r"model\.1\.sub\.(\d+)\.RDB([123])\.(conv[1-5])\.0\.(weight|bias)")
_SEQUENCE_TRUNK = re.compile(r"model\.1\.sub\.\d+\.(weight|bias)")
_WRAPPERS = ("params_ema", "params")
"""Of Real-ESRGAN's files: the averaged weights are the better ones where both are there."""


class Dimensions(NamedTuple):
    """Sizes of a generator."""

    blocks: int
    channels: int
    growth: int


PUBLISHED = Dimensions(23, 64, 32)


def converted(state: Mapping[str, Any]) -> Converted:
    """An x4 generator in our names, from a checkpoint in any of the three layouts.

    state: what `torch.load(weights_only=True)` or safetensors gave. Raises ValueError with what it is instead, or what
    is missing.
    """
    tensors = _tensors(_unwrapped(state))
    _refuse_relatives(tensors)
    renamed = {_our_name(name): tensor for name, tensor in tensors.items()}
    _check(renamed)
    return Converted("esrgan", {FILE: {name: tensor.contiguous() for name, tensor in renamed.items()}})


def dimensions(tensors: Mapping[str, Tensor]) -> Dimensions:
    """Sizes of the network with these tensors. Raises ValueError if the first of them are missing or odd."""
    first, growing = (tensors.get(name) for name in ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight"))
    if first is None or growing is None or first.dim() != 4 or growing.dim() != 4 or not (len(first) and len(growing)):
        some = ", ".join(sorted(tensors)[:3]) or "nothing"
        raise ValueError(f"these are weights of another network than ESRGAN's generator ({some}, ...)")
    return Dimensions(sum(name.endswith(".RDB1.conv1.weight") for name in tensors), len(first), len(growing))


def shapes(blocks: int, channels: int, growth: int) -> dict[str, tuple[int, ...]]:
    """Every parameter of the x4 generator, by our name."""
    plain = ("trunk_conv", "upconv1", "upconv2", "HRconv")
    layers = {"conv_first": (channels, 3)} | dict.fromkeys(plain, (channels, channels)) | {"conv_last": (3, channels)}
    for block in range(blocks):
        for dense in (1, 2, 3):
            for i in range(5):
                out = growth if i < 4 else channels
                layers[f"RRDB_trunk.{block}.RDB{dense}.conv{i + 1}"] = (out, channels + i * growth)
    found: dict[str, tuple[int, ...]] = {}
    for name, (out, into) in layers.items():
        found |= {f"{name}.weight": (out, into, 3, 3), f"{name}.bias": (out,)}
    return found


def _unwrapped(state: Mapping[str, Any]) -> Mapping[str, Any]:
    for wrapper in _WRAPPERS:
        if isinstance(state.get(wrapper), Mapping):
            inner: Mapping[str, Any] = state[wrapper]
            return inner
    return state


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """By name, without the prefix that training on several GPUs leaves."""
    odd = [name for name, value in state.items() if not (isinstance(value, Tensor) and value.is_floating_point())]
    if odd or not state:
        what = f"{odd[0]!r} is none" if odd else "it is empty"
        raise ValueError(f"this is no checkpoint of ESRGAN: it should hold weights by name, and {what}")
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def _refuse_relatives(tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError for networks that are often taken for this one."""
    if "body.0.weight" in tensors and "conv_first.weight" not in tensors:
        raise ValueError(
            "this is SRVGGNetCompact (such as realesr-general-x4v3 or realesr-animevideov3), another network: "
            "take RealESRGAN_x4plus or RRDB_ESRGAN_x4"
        )
    first = tensors.get("conv_first.weight")
    if first is not None and first.dim() == 4 and first.shape[1] in (12, 48):
        scale = {12: 2, 48: 1}[first.shape[1]]
        raise ValueError(
            f"this is a Real-ESRGAN that enlarges by {scale} ({first.shape[1]} input channels), and x4 is needed: "
            "take RealESRGAN_x4plus"
        )
    places = {int(match[1]) for name in tensors if (match := re.fullmatch(r"model\.(\d+)\.weight", name))}
    if "model.1.sub.0.RDB1.conv1.0.weight" in tensors and places != set(map(int, _SEQUENCE)):
        found, wanted = ", ".join(map(str, sorted(places))), ", ".join(_SEQUENCE)
        raise ValueError(
            f"this ESRGAN does not enlarge by 4: its outer layers are model.{{{found}}}, those of x4 model.{{{wanted}}}"
        )


def _our_name(name: str) -> str:
    """The same for a name that is ours or of no layout."""
    if block := _BASICSR_BLOCK.fullmatch(name) or _SEQUENCE_BLOCK.fullmatch(name):
        number, dense, layer, kind = block.groups()
        return f"RRDB_trunk.{number}.RDB{dense}.{layer}.{kind}"
    if trunk := _SEQUENCE_TRUNK.fullmatch(name):
        return f"trunk_conv.{trunk[1]}"
    layer, dot, kind = name.rpartition(".")
    if layer.startswith("model."):
        layer = _SEQUENCE.get(layer.removeprefix("model."), layer)
    return f"{_BASICSR.get(layer, layer)}{dot}{kind}"


def _check(tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError unless these are exactly the parameters of one generator."""
    wanted = shapes(*dimensions(tensors))
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if odd:
        raise ValueError(f"these are weights of another network: {len(odd)} tensors differ, such as {odd[0]}")
