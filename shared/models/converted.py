"""What a published checkpoint becomes: files of tensors by the names our networks use."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Converted(NamedTuple):
    """A checkpoint in our layout."""

    name: str
    """The entry of the catalogue it is, such as `esrgan`."""
    files: dict[str, dict[str, Tensor]]
    """Tensors by name, by the name of the safetensors file that holds them."""
