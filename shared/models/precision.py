"""Half precision where it is fast and harmless, single where it is neither.

Convolutions and linear layers run in float16. Whatever moves coordinates about stays in float32: half a pixel of 512 is
a thousandth of a coordinate, which is all that float16 can tell apart, and bfloat16 tells four pixels apart. PyTorch's
autocast would narrow the products of keypoints and matrices too. Of the two short types float16 it is, since a
picture's 256 levels need more than the eight bits of bfloat16; activations are far below its 65504.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

HALF = torch.float16
_NARROW = {F.conv2d}
_WIDE = {
    torch.einsum, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.softmax, F.grid_sample,
    F.linear, F.group_norm,
}  # fmt: skip


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


def _cast(value: Any, to: torch.dtype) -> Any:
    return value.to(to) if isinstance(value, Tensor) and value.is_floating_point() else value
