"""Half precision where it is fast and harmless, single where it is neither.

Convolutions are narrowed, in float16 on a GPU and in bfloat16 on a CPU that multiplies it. Whatever moves coordinates
about stays in float32: half a pixel of 512 is a thousandth of a coordinate, which is all that float16 can tell apart,
and bfloat16 tells four pixels apart. PyTorch's autocast would narrow the products of keypoints and matrices too.

A CPU draws in bfloat16 by default because it was measured to: on one with AVX512_BF16, one thread, the 12 dev clips at
256 px, a frame takes 29.0 ms instead of 38.1 from one source and 39.8 instead of 49.9 from two (medians of processor
time, both in turn), 1.31 and 1.25 times as fast. Every clip agrees with float32 to 52 dB or better (48 dB the worst
frame; most clips 60 to 67 dB): flows and shares of sources come of convolutions in float32, and from the last
convolution on colours are float32. Source pictures are encoded in float32 there, since that is done once. OpenVINO,
where it is installed, takes 30.9 and 39.5 ms in float32: `auto` leaves drawing to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

PRECISIONS = ("auto", "fp32", "bf16")
"""What the convolutions of a generator compute in; the first is the fastest that looks alike on the device."""
HALF = torch.float16
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", HALF: "fp16"}
_NARROW = {F.conv2d}
_WIDE = {
    torch.einsum, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.softmax, F.grid_sample,
    F.linear, F.group_norm,
}  # fmt: skip


def narrow_pays(device: torch.device) -> bool:
    """Whether convolutions of two-byte numbers are faster on a device: a GPU, or a CPU that multiplies bfloat16."""
    return device.type == "cuda" or _cpu_multiplies_bf16()


def drawing_type(precision: str, device: torch.device) -> torch.dtype:
    """What convolutions draw in on a device, for one of PRECISIONS."""
    if precision == "auto":
        return torch.float32 if not narrow_pays(device) else HALF if device.type == "cuda" else torch.bfloat16
    return torch.bfloat16 if precision == "bf16" else torch.float32


class NarrowConvolutions(TorchFunctionMode):
    """Within it convolutions compute in `dtype`; products, softmax, norms and sampling in float32.

    Everything else takes what it gets; where the two meet, the result is float32. It is the same on every device, and
    differentiable: gradients arrive in each parameter's own type.
    """

    def __init__(self, dtype: torch.dtype = HALF) -> None:
        super().__init__()
        self._dtype = dtype

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _NARROW or func in _WIDE:
            to = self._dtype if func in _NARROW else torch.float32
            args = tuple(_cast(each, to) for each in args)
            kwargs = {name: _cast(each, to) for name, each in (kwargs or {}).items()}
        return func(*args, **(kwargs or {}))


def halve_weights(network: nn.Module, dtype: torch.dtype = HALF) -> None:
    """Turns the weights of convolutions to `dtype`, so that it is not done for every frame."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(dtype)


def narrow_for_good(network: nn.Module, dtype: torch.dtype, wide: Collection[nn.Module]) -> None:
    """Has the convolutions of a network compute in `dtype` from now on, those of `wide` in float32.

    Faster on a CPU than NarrowConvolutions, which looks at every call of a frame; but nothing is cast save what comes
    into a convolution. So those whose results are coordinates or shares belong in `wide`.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if module not in wide:
                module.to(dtype)
            module.register_forward_pre_hook(_in_the_type_of_its_weights)


def _in_the_type_of_its_weights(convolution: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    weight = convolution.weight
    assert isinstance(weight, Tensor)
    return tuple(each.to(weight.dtype) for each in inputs)


def _cpu_multiplies_bf16() -> bool:
    """Of x86-64: AVX512_BF16, and AMX, which comes with it."""
    return torch.cpu._is_avx512_bf16_supported()


def _cast(value: Any, to: torch.dtype) -> Any:
    return value.to(to) if isinstance(value, Tensor) and value.is_floating_point() else value
