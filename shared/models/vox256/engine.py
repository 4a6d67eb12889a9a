"""The published face-vid2vid networks as an engine: `vox256`, and AdaSR-TalkingHead's as `adasr`.

Their motion is ours with a scale of one: x_k = R c_k + t + δ_k, translation along the depth included. Their networks
take one source, so a frame is drawn from the heaviest of those given.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from shared.models.base_fusion import BasePicture, exchange
from shared.models.engine import EngineError, Picture, Weighted, load_strictly
from shared.models.vox256.blocks import absent_norms, fold, without
from shared.models.vox256.generator import Generator
from shared.models.vox256.motion import KEYPOINTS, KeypointDetector, PoseEstimator, angles
from shared.motion import FloatArray, Motion, keypoints
from shared.resampling import resampled

Network = TypeVar("Network", bound=nn.Module)

TRAINED_SIZES = {"vox256": 256, "adasr": 512}
"""Side of the pictures that each engine's checkpoint was trained on: both extraction and drawing work at that size."""


class Source(NamedTuple):
    """A source, encoded."""

    volume: Tensor
    """(1, C, D, S/4, S/4)"""
    canonical: FloatArray
    """(K, 3)"""
    points: FloatArray
    """(K, 3) keypoints in the source picture"""


class MotionNetworks(nn.Module):
    """The two that read a picture, named as in the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.kp_detector = KeypointDetector()
        self.he_estimator = PoseEstimator()


class Vox256Engine:
    """The `vox256` or `adasr` engine on one device, in float32.

    Threads may extract, prepare and draw at once: they share weights alone.

    `adasr` is AdaSR-TalkingHead: the same networks, trained at 512x512 on degraded sources. Its published source code
    (generator and configuration) was compared; its checkpoint was never at hand. So what was verified is that weights
    of the same shapes load and draw at 512, with or without norms in the generator's encoder (an absent one is the
    identity); which norms the file lacks and how well it draws was not.
    """

    keypoint_count = KEYPOINTS
    precision = "fp32"

    def __init__(
        self, motion: Path, generator: Path | None, device: str = "cpu", size: int = 256, name: str = "vox256"
    ) -> None:
        """Loads the motion networks and, for a receiver, the generator.

        size: of the pictures drawn, at most the one the checkpoint was trained on. Raises EngineError for other files
        or a larger size.
        """
        self.name, self.size, self._trained = name, size, TRAINED_SIZES[name]
        if size > self._trained:
            raise EngineError(f"{name} draws {self._trained}x{self._trained}: use --size {self._trained}")
        self._device = torch.device(device)
        self._motion = self._ready(MotionNetworks(), motion)
        self._generator = None if generator is None else self._ready(Generator(), generator)

    def extract(self, picture: Picture) -> tuple[FloatArray, Motion]:
        with torch.inference_mode():
            pixels = self._tensor(picture)
            canonical = self._motion.kp_detector(pixels)[0]
            pose = self._motion.he_estimator(pixels)
            numbers = torch.cat([angles(pose)[0], pose.translation[0], pose.expression[0], canonical.flatten()])
            values = numbers.cpu().numpy()
        rotation, shift, expression, points = np.split(values, [3, 6, 6 + 3 * KEYPOINTS])
        return points.reshape(-1, 3), Motion(rotation, 1.0, shift, expression.reshape(-1, 3))

    def prepare(self, picture: Picture, canonical: FloatArray, motion: Motion) -> Source:
        if self._generator is None:
            raise EngineError("this engine was loaded without a generator: it extracts but does not draw")
        if picture.shape != (self.size, self.size, 3):
            raise ValueError(f"a source of {self.name} is {self.size}x{self.size}x3, this has shape {picture.shape}")
        with torch.inference_mode():
            volume = self._generator.encode(self._tensor(picture))
        return Source(volume, canonical, keypoints(canonical, motion))

    def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
        if self._generator is None:
            raise EngineError("this engine was loaded without a generator: it extracts but does not draw")
        source: Source = max(sources, key=lambda each: each[1])[0]
        points = np.stack([source.points, keypoints(source.canonical, driving)])
        with torch.inference_mode():
            on_device = torch.from_numpy(points).to(self._device)
            drawn = self._generator.draw(source.volume, on_device[:1], on_device[1:]).picture[0]
            pixels = (drawn.permute(1, 2, 0) * 255 + 0.5).to(torch.uint8).cpu().numpy()
        picture = resampled(np.ascontiguousarray(pixels), self.size)
        return picture if base is None else exchange(picture, base)

    def _tensor(self, picture: Picture) -> Tensor:
        """(1, 3, S, S) in 0..1 at the size that the networks were trained on."""
        pixels = torch.from_numpy(np.ascontiguousarray(resampled(picture, self._trained))).to(self._device)
        return pixels.permute(2, 0, 1)[None].float().div_(255).contiguous()

    def _ready(self, network: Network, weights: Path) -> Network:
        """The network with its weights, for inference on the device."""
        if self.name == "adasr":
            without(network, absent_norms(network, _names(weights)))
        load_strictly(network, weights)
        network = network.eval().requires_grad_(False)
        fold(network)
        return network.to(self._device)


def _names(weights: Path) -> list[str]:
    """Of the tensors in a file; none if the file cannot be read, which comes out when it is loaded."""
    try:
        with safe_open(weights, "pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError):
        return []
