"""A frame of the `compact` engine as one function of tensors: what a CUDA graph can hold and OpenVINO can convert.

Nothing is decided and nothing is copied from or to the host on the way from `motion_numbers` to the drawn bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.models.base_fusion import STATE, After, Base, BasePicture, base_state
from shared.models.compact import CompactNetwork
from shared.models.dense_motion import Source, SourceFeatures
from shared.models.layers import KEYPOINTS, MotionTensors
from shared.models.motion_network import MotionNetwork
from shared.motion import FloatArray, Motion

MOTION_NUMBERS = 6 + 3 * KEYPOINTS
_CANONICAL_NUMBERS = 3 * KEYPOINTS
SOURCE_NUMBERS = _CANONICAL_NUMBERS + MOTION_NUMBERS
BASE_NUMBERS, AFTER_NUMBERS = MOTION_NUMBERS + STATE, MOTION_NUMBERS + 1
NATIVE_SIDE = 256
"""px of the source pictures that the networks see, whatever is drawn."""
Pictures = NDArray[np.uint8]
"""(B, S, S, 3) RGB."""
Parts = tuple[Tensor, ...]
"""A source, batch first: picture, features, compressed features, numbers, and where more is drawn, the fine picture."""


class Frames(Protocol):
    """Draws a batch of frames, each from as many sources."""

    sizes: tuple[int, ...]
    """Batches that are drawn at full speed, smallest first; others are to be filled up to one of these."""
    drawing_type: torch.dtype
    """What most convolutions compute in."""

    def draw(self, numbers: FloatArray, rows: Sequence[Sequence[Parts]], bases: Pictures | None = None) -> Pictures:
        """(B, S, S, 3) from B `frame_numbers`, B rows of N sources, and with a base layer `base_pixels` of each frame.

        Threads may call it.
        """


def motion_numbers(motion: Motion) -> FloatArray:
    """(MOTION_NUMBERS,) yaw, pitch and roll in radians, scale, two of the translation, expression."""
    parts = (np.radians(motion.rotation), [motion.scale], motion.translation[:2], np.ravel(motion.expression))
    return np.concatenate([np.asarray(part, np.float32) for part in parts])


def frame_numbers(weights: Sequence[float], driving: Motion, base: BasePicture | None = None) -> FloatArray:
    """(N + MOTION_NUMBERS,) what a frame takes beside its sources, as one vector: one copy to the device.

    With a base picture BASE_NUMBERS more, and with one after it AFTER_NUMBERS.
    """
    parts = [np.asarray(weights, np.float32), motion_numbers(driving)]
    if base is not None:
        state = base_state(base.presence, base.age, base.picture.shape[0], base.crf)
        parts += [motion_numbers(base.motion), np.asarray(state, np.float32)]
        if base.after is not None:
            parts += [motion_numbers(base.after.motion), np.asarray([base.share_after], np.float32)]
    return np.concatenate(parts)


def base_pixels(base: BasePicture) -> Pictures:
    """(1 or 2, 256, 256, 3) the pictures of a base as a frame takes them."""
    size, pictures = (NATIVE_SIDE, NATIVE_SIDE), [base.picture]
    pictures += [] if base.after is None else [base.after.picture]
    return np.stack([np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_CUBIC), np.uint8) for p in pictures])


def parts_of(features: SourceFeatures, canonical: FloatArray, motion: Motion, fine: Tensor | None) -> Parts:
    """A source as a frame takes it, everything on the device of its features."""
    numbers = np.concatenate([np.ravel(canonical).astype(np.float32), motion_numbers(motion)])[None]
    parts = (*features, torch.from_numpy(numbers).to(features.picture.device))
    return parts if fine is None else (*parts, fine)


class Frame(nn.Module):
    """The drawing networks, from numbers to bytes."""

    def __init__(self, network: CompactNetwork) -> None:
        super().__init__()
        self._network = network

    @property
    def features(self) -> int:
        """Channels of a source's features."""
        return int(self._network.encoder.compress.in_channels)

    def forward(self, numbers: Tensor, *parts: Tensor) -> Tensor:
        """(B, S, S, 3) uint8 from `frame_numbers` and the parts of N sources, one source after the other; and with a
        base layer, last, (B, 1 or 2, 256, 256, 3) uint8 of its pictures."""
        base, count = None, numbers.shape[1] - MOTION_NUMBERS
        if parts[-1].dim() == 5:
            pixels, parts = parts[-1], parts[:-1]
            count -= BASE_NUMBERS + (pixels.shape[1] - 1) * AFTER_NUMBERS
            base = _base(numbers[:, count + MOTION_NUMBERS :], pixels)
        each = len(parts) // count
        sources = [_source(*parts[at : at + each]) for at in range(0, len(parts), each)]
        driving = _motion(sources[0].canonical, numbers[:, count : count + MOTION_NUMBERS])
        picture = self._network.draw(sources, numbers[:, :count], driving, base).picture
        return (picture.permute(0, 2, 3, 1) * 255 + 0.5).clamp(0, 255).to(torch.uint8)


class Reading(nn.Module):
    """The motion network, from bytes to numbers."""

    def __init__(self, network: MotionNetwork) -> None:
        super().__init__()
        self._network = network

    def forward(self, picture: Tensor) -> Tensor:
        """(6 + 6K,) from (1, 256, 256, 3) uint8: head pose in degrees, translation, scale, expression, canonical."""
        # a (H, W, 3) picture is channels_last already, so nothing is copied twice
        out = self._network(picture.permute(0, 3, 1, 2).float().div_(255))
        parts = (torch.rad2deg(out.rotation), out.translation, out.scale, out.expression, out.canonical)
        return torch.cat([part.flatten() for part in parts])  # all at once: each copy from a GPU waits for it


class EagerFrames:
    """Draws by calling the network: on a CPU, as its convolutions are."""

    sizes: tuple[int, ...] = (1,)  # a core gains nothing from more

    def __init__(self, frame: Frame, dtype: torch.dtype = torch.float32) -> None:
        self._frame, self.drawing_type = frame, dtype

    def draw(self, numbers: FloatArray, rows: Sequence[Sequence[Parts]], bases: Pictures | None = None) -> Pictures:
        """See `Frames.draw`."""
        more = () if bases is None else (torch.from_numpy(bases),)
        with torch.inference_mode():
            drawn = self._frame(torch.from_numpy(numbers), *stacked(rows), *more)
        return np.ascontiguousarray(drawn.numpy())


def stacked(rows: Sequence[Sequence[Parts]]) -> list[Tensor]:
    """The parts of N sources in a batch of B, from B rows of N sources."""
    if len(rows) == 1:
        return [part for source in rows[0] for part in source]
    return [torch.cat(alike) for sources in zip(*rows, strict=True) for alike in zip(*sources, strict=True)]


def _source(
    picture: Tensor, features: Tensor, compressed: Tensor, numbers: Tensor, fine: Tensor | None = None
) -> Source:
    canonical = numbers[:, :_CANONICAL_NUMBERS].reshape(-1, KEYPOINTS, 3)
    motion = _motion(canonical, numbers[:, _CANONICAL_NUMBERS:])
    return Source(SourceFeatures(picture, features, compressed), canonical, motion, fine)


def _base(numbers: Tensor, pixels: Tensor) -> Base:
    none, pictures = numbers[:, :0], pixels.permute(0, 1, 4, 2, 3).float() / 255
    motion, state, after = _motion(none, numbers[:, :MOTION_NUMBERS]), numbers[:, MOTION_NUMBERS:BASE_NUMBERS], None
    if pictures.shape[1] > 1:
        rest = numbers[:, BASE_NUMBERS:]
        after = After(pictures[:, 1], _motion(none, rest[:, :MOTION_NUMBERS]), rest[:, MOTION_NUMBERS:])
    return Base(pictures[:, 0], motion, state, after)


def _motion(canonical: Tensor, numbers: Tensor) -> MotionTensors:
    rotation, scale, shift, expression = torch.split(numbers, [3, 1, 2, 3 * KEYPOINTS], 1)  # type: ignore[no-untyped-call]
    return MotionTensors(canonical, rotation, scale, shift, expression.reshape(-1, KEYPOINTS, 3))


def batches(kinds: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """Indices of `kinds` in batches of one kind, each as large as one of `sizes` (ascending).

    The last index of a batch is repeated until a size is reached.
    """
    out = []
    for kind in sorted(set(kinds)):
        alike = [index for index, each in enumerate(kinds) if each == kind]
        for at in range(0, len(alike), sizes[-1]):
            batch = alike[at : at + sizes[-1]]
            size = sizes[bisect_left(sizes, len(batch))]
            out.append(batch + batch[-1:] * (size - len(batch)))
    return out
