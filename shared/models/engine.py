"""What an engine is: a motion network and a generator that share one representation of motion.

The sender extracts, the receiver draws; both know an engine by its name and by the hash of what the wire depends on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from shared.models import compact
from shared.models.layers import KEYPOINTS, MotionTensors
from shared.models.motion_network import MOTION_INPUT
from shared.motion import FloatArray, Motion

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""
Weighted = Sequence[tuple[Any, float]]
"""Prepared sources, each with its weight: positive, only ratios matter."""


NATIVE_SIZE, SIZES = 256, (256, 512)
"""What the generator draws; and what an engine shows, where the larger picture takes its detail from the sources."""


class EngineError(Exception):
    """An engine could not be set up; the message says why and what to do."""


class Engine(Protocol):
    """Extraction for the sender, sources and synthesis for the receiver."""

    name: str
    size: int
    """Side of the pictures it draws, in px."""
    keypoint_count: int

    def extract(self, picture: Picture) -> tuple[FloatArray, Motion]:
        """(K, 3) canonical keypoints and the motion of a square picture of any size."""

    def prepare(self, picture: Picture, canonical: FloatArray, motion: Motion) -> Any:
        """What `draw` needs of a source; `picture` is (size, size, 3)."""

    def draw(self, sources: Weighted, driving: Motion) -> Picture:
        """(size, size, 3) the person of prepared sources, at least one, under the driving motion."""


class CompactEngine:
    """The `compact` engine on one device. Not thread-safe for drawing and extracting at once on the same object."""

    name = "compact"
    keypoint_count = KEYPOINTS

    def __init__(self, motion: Path, generator: Path | None, device: str = "cpu", size: int = NATIVE_SIZE) -> None:
        """Loads the motion network and, for a receiver, the generator, whose widths are those of its weights.

        `size`: one of SIZES. Raises EngineError for other files.
        """
        self._device, self.size = torch.device(device), size
        weights = {} if generator is None else _read(generator)
        network = compact.CompactNetwork(compact.GENERATORS[generator_of(weights)])
        load_strictly(network.motion, motion)
        self._can_draw = generator is not None
        if generator is not None:
            _fill(network, weights, generator.name, ignore="motion.")
        network = network.eval().requires_grad_(False).to(self._device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
        self._network = network

    def extract(self, picture: Picture) -> tuple[FloatArray, Motion]:
        if picture.shape[0] != MOTION_INPUT:
            picture = _shrunk(picture, MOTION_INPUT)
        with torch.inference_mode():
            out = self._network.motion(self._tensor(picture))
        angles = torch.rad2deg(out.rotation[0]).cpu().numpy()
        shift = np.append(out.translation[0].cpu().numpy(), np.float32(0))
        motion = Motion(angles, float(out.scale), shift, out.expression[0].cpu().numpy())
        return out.canonical[0].cpu().numpy(), motion

    def prepare(self, picture: Picture, canonical: FloatArray, motion: Motion) -> compact.Source:
        if not self._can_draw:
            raise EngineError("this engine was loaded without a generator: it extracts but does not draw")
        if picture.shape != (self.size, self.size, 3):
            raise ValueError(f"a source of {self.name} is {self.size}x{self.size}x3, this has shape {picture.shape}")
        fine = None if self.size == NATIVE_SIZE else self._tensor(picture).contiguous()
        if fine is not None:
            picture = _shrunk(picture, NATIVE_SIZE)
        points = torch.from_numpy(np.ascontiguousarray(canonical, np.float32))[None].to(self._device)
        with torch.inference_mode():
            # planes, once a source: grid sampling would make them anew for every frame
            features = compact.SourceFeatures(*(t.contiguous() for t in self._network.encoder(self._tensor(picture))))
        return compact.Source(features, points, self._motion(points, motion), fine)

    def draw(self, sources: Sequence[tuple[compact.Source, float]], driving: Motion) -> Picture:
        given = [source for source, _ in sources]
        with torch.inference_mode():
            weights = torch.tensor([[weight for _, weight in sources]], device=self._device)
            drawn = self._network.draw(given, weights, self._motion(given[0].canonical, driving)).picture
            pixels = (drawn[0].permute(1, 2, 0) * 255 + 0.5).clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(pixels.cpu().numpy())

    def _tensor(self, picture: Picture) -> Tensor:
        """(1, 3, H, W) in 0..1; a (H, W, 3) picture is channels_last already, so nothing is copied twice."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self._device)
        return pixels.permute(2, 0, 1)[None].float().div_(255)

    def _motion(self, canonical: Tensor, motion: Motion) -> MotionTensors:
        def row(values: Any) -> Tensor:
            return torch.as_tensor(np.asarray(values, np.float32), device=self._device)[None]

        rotation, shift = np.radians(motion.rotation), motion.translation[:2]
        return MotionTensors(canonical, row(rotation), row([motion.scale]), row(shift), row(motion.expression))


def _shrunk(picture: Picture, side: int) -> Picture:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def load_strictly(module: torch.nn.Module, path: Path) -> None:
    """Fills a module from safetensors. Raises EngineError unless the file holds exactly its parameters and shapes."""
    _fill(module, _read(path), path.name)


def _fill(module: torch.nn.Module, tensors: Mapping[str, Tensor], file: str, ignore: str = "\0") -> None:
    """Fills a module with the tensors of a file; parameters that start with `ignore` stay as they are."""
    wanted = {k: v.shape for k, v in module.state_dict().items() if not k.startswith(ignore)}
    found = {k: v.shape for k, v in tensors.items()}
    if wanted != found:
        odd = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        raise EngineError(f"{file} holds weights of another network: {len(odd)} tensors differ, such as {odd[0]}")
    module.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise EngineError(
            f"{path.name} is not a readable safetensors file ({error}); fetch or copy it again"
        ) from error


def generator_of(weights: Mapping[str, Tensor]) -> str:
    """Which of `compact.GENERATORS` has weights of these shapes; `compact` if none has."""
    first = weights.get("encoder.layers.2.0.bias")
    for name, widths in compact.GENERATORS.items():
        if first is not None and len(first) == widths.features:
            return name
    return "compact"
