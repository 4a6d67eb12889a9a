"""What an engine is: a motion network and a generator that share one representation of motion.

The sender extracts, the receiver draws; both know an engine by its name and by the hash of what the wire depends on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from shared.errors import PinholeError
from shared.models import compact, dense_motion, openvino_engine
from shared.models.base_fusion import BasePicture
from shared.models.frame import (
    NATIVE_SIDE,
    EagerFrames,
    Frame,
    Frames,
    Parts,
    Pictures,
    Reading,
    base_pixels,
    batches,
    frame_numbers,
    parts_of,
)
from shared.models.graphs import StaticFrames
from shared.models.layers import KEYPOINTS
from shared.models.motion_network import MOTION_INPUT
from shared.models.openvino_engine import OpenVinoFrames, OpenVinoReading
from shared.models.precision import NAMES, NarrowConvolutions, drawing_type, halve_weights, narrow_for_good
from shared.models.stored_weights import check_finite
from shared.motion import FloatArray, Motion

logger = logging.getLogger(__name__)

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""
Weighted = Sequence[tuple[Any, float]]
"""Prepared sources, each with its weight: positive, only ratios matter."""


class Request(NamedTuple):
    """What a frame is drawn from."""

    sources: Weighted
    """At least one"""
    driving: Motion
    base: BasePicture | None = None


BACKENDS = ("auto", "torch", "openvino")
"""What computes on a CPU: the first takes OpenVINO where that is installed and measured to be faster, at 256 px."""
NATIVE_SIZE, SIZES = NATIVE_SIDE, (256, 512)
"""What the generator draws; and what an engine shows, where the larger picture takes its detail from the sources."""


class EngineError(PinholeError):
    """An engine could not be set up; the message says why and what to do."""


class Engine(Protocol):
    """Extraction for the sender, sources and synthesis for the receiver. Threads may call all of it at once."""

    name: str
    size: int
    """Side of the pictures it draws, in px."""
    keypoint_count: int

    @property
    def precision(self) -> str:
        """What its convolutions draw in: fp32, bf16 or fp16."""

    def extract(self, picture: Picture) -> tuple[FloatArray, Motion]:
        """(K, 3) canonical keypoints and the motion of a square picture of any size."""

    def prepare(self, picture: Picture, canonical: FloatArray, motion: Motion) -> Any:
        """What `draw` needs of a source; `picture` is (size, size, 3)."""

    def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
        """(size, size, 3) the person of prepared sources, at least one, under the driving motion.

        With a base picture, colours, light and large shapes are that one's.
        """


class CompactEngine:
    """The `compact` engine on one device. Threads may extract, prepare and draw at once: a sender does.

    They share weights alone, which nothing changes once they are loaded, and each call has its own tensors. What does
    keep something between calls lets one thread in at a time: the buffers of the graphs, OpenVINO's requests. So every
    result is that of the same call made alone.

    It extracts in single precision, on a GPU without TF32 in the whole process. It draws, and on a GPU encodes, in
    `precision`, as `shared.models.precision` says.
    """

    name = "compact"
    keypoint_count = KEYPOINTS

    def __init__(
        self,
        motion: Path,
        generator: Path | None,
        device: str = "cpu",
        size: int = NATIVE_SIZE,
        backend: str = "torch",
        precision: str = "auto",
    ) -> None:
        """Loads the motion network and, for a receiver, the generator, whose widths are those of its weights.

        `size`: one of SIZES. `backend`: one of BACKENDS. `precision`: one of PRECISIONS. Raises EngineError for other
        files, and for a backend that is not installed, or not for this device or precision.
        """
        self._device, self.size = torch.device(device), size
        weights = {} if generator is None else _read(generator)
        network = compact.CompactNetwork(dense_motion.GENERATORS[generator_of(weights)])
        load_strictly(network.motion, motion)
        if generator is not None:
            # a generator that was trained before there was a base layer exchanges low frequencies, as an untrained one
            known = any(name.startswith("base.") for name in weights)
            _fill(network, weights, generator.name, ("motion.",) if known else ("motion.", "base."))
        network = network.eval().requires_grad_(False).to(self._device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on a CPU
        self._network = network
        if self._device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # PyTorch's default is True: 10 bits of mantissa instead of 23
        self._drawing_type = drawing_type(precision, self._device)
        faster, self._reading = _takes_openvino(backend, self._device, precision), Reading(network.motion)
        self._numbers = OpenVinoReading(self._reading, self._eagerly) if faster else self._eagerly
        self._frames: Frames | None = None
        if generator is not None:
            # OpenVINO draws in single precision alone
            backend = backend if faster and precision != "bf16" else "torch"
            self._frames = _frames(network, self._device, size, backend, self._drawing_type)

    @property
    def precision(self) -> str:
        return "fp32" if self._frames is None else NAMES[self._frames.drawing_type]

    def extract(self, picture: Picture) -> tuple[FloatArray, Motion]:
        if picture.shape[0] != MOTION_INPUT:
            picture = _shrunk(picture, MOTION_INPUT)
        numbers = self._numbers(np.ascontiguousarray(picture)[None])
        rotation, shift, scale, expression, canonical = np.split(numbers, np.cumsum([3, 2, 1, 3 * KEYPOINTS]))
        motion = Motion(rotation, float(scale[0]), np.append(shift, np.float32(0)), expression.reshape(-1, 3))
        return canonical.reshape(-1, 3), motion

    def prepare(self, picture: Picture, canonical: FloatArray, motion: Motion) -> Parts:
        if self._frames is None:
            raise EngineError("this engine was loaded without a generator: it extracts but does not draw")
        if picture.shape != (self.size, self.size, 3):
            raise ValueError(f"a source of {self.name} is {self.size}x{self.size}x3, this has shape {picture.shape}")
        fine = None if self.size == NATIVE_SIZE else self._tensor(picture).contiguous()
        if fine is not None:
            picture = _shrunk(picture, NATIVE_SIZE)
        with torch.inference_mode(), self._half():
            # planes, once a source: grid sampling would make them anew for every frame
            encoded = self._network.encoder(self._tensor(picture))
            features = dense_motion.SourceFeatures(*(part.float().contiguous() for part in encoded))
            source = parts_of(features, canonical, motion, fine)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()  # frames are drawn on another stream
        return source

    def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
        return self.draw_many([Request(sources, driving, base)])[0]

    @property
    def largest_batch(self) -> int:
        """Frames that are better drawn together than one by one: one on a CPU."""
        return 1 if self._frames is None else self._frames.sizes[-1]

    def draw_many(self, requests: Sequence[Request]) -> list[Picture]:
        """A picture for each request; those alike are drawn together."""
        if self._frames is None:
            raise EngineError("this engine was loaded without a generator: it extracts but does not draw")
        numbers = [frame_numbers([weight for _, weight in r.sources], r.driving, r.base) for r in requests]
        rows = [[source for source, _ in r.sources] for r in requests]
        pixels = [None if r.base is None else base_pixels(r.base) for r in requests]
        drawn: dict[int, Picture] = {}
        kinds = [3 * len(r.sources) + (0 if p is None else len(p)) for r, p in zip(requests, pixels, strict=True)]
        for batch in batches(kinds, self._frames.sizes):
            bases = [each for i in batch if (each := pixels[i]) is not None]
            pictures = self._frames.draw(
                np.stack([numbers[i] for i in batch]), [rows[i] for i in batch], np.stack(bases) if bases else None
            )
            drawn |= zip(batch, pictures, strict=True)
        return [drawn[i] for i in range(len(requests))]

    def _eagerly(self, picture: Pictures) -> FloatArray:
        with torch.inference_mode():
            numbers: FloatArray = self._reading(torch.from_numpy(picture).to(self._device)).cpu().numpy()
        return numbers

    def _half(self) -> AbstractContextManager[object]:
        return NarrowConvolutions(self._drawing_type) if self._device.type == "cuda" else nullcontext()

    def _tensor(self, picture: Picture) -> Tensor:
        """(1, 3, H, W) in 0..1; a (H, W, 3) picture is channels_last already, so nothing is copied twice."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture)).to(self._device)
        return pixels.permute(2, 0, 1)[None].float().div_(255)


def _takes_openvino(backend: str, device: torch.device, precision: str) -> bool:
    """Whether OpenVINO computes. Raises EngineError if it should and cannot."""
    if backend == "openvino" and device.type != "cpu":
        raise EngineError("--backend openvino computes on a CPU: leave it out, or use --device cpu")
    if backend == "openvino" and not openvino_engine.installed():
        raise EngineError("OpenVINO is not installed: pip install 'pinhole[fast]', or use --backend torch")
    if backend == "openvino" and precision == "bf16":
        raise EngineError("--backend openvino draws in fp32: leave --precision out, or use --backend torch")
    return device.type == "cpu" and backend != "torch" and openvino_engine.installed()


def _frames(
    network: compact.CompactNetwork, device: torch.device, size: int, backend: str, dtype: torch.dtype
) -> Frames:
    """What draws on a device, by PyTorch in `dtype`.

    Raises EngineError if OpenVINO was asked for and fails; `auto` does without it then.
    """
    frame = Frame(network)
    if device.type == "cuda":
        for part in (network.encoder, network.dense_motion, network.generator, network.base):
            halve_weights(part, dtype)
        return StaticFrames(frame, device, dtype=dtype)
    # enlarging planes from 256 px costs OpenVINO as much time as it gains before
    if backend == "torch" or (backend == "auto" and size != NATIVE_SIZE):
        return _eager(network, frame, dtype)
    try:
        return OpenVinoFrames(frame, size)
    except (ImportError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        if backend == "openvino":
            raise EngineError(f"OpenVINO does not draw here ({reason}): use --backend torch") from error
        logger.warning("OpenVINO does not draw here (%s): PyTorch does", reason)
        return _eager(network, frame, dtype)


def _eager(network: compact.CompactNetwork, frame: Frame, dtype: torch.dtype) -> EagerFrames:
    if dtype != torch.float32:
        # what flows and shares come from stays as it is
        wide = {network.dense_motion.head[0], network.dense_motion.visibility[0]}
        for part in (network.dense_motion, network.generator, network.base):
            narrow_for_good(part, dtype, wide)
    return EagerFrames(frame, dtype)


def _shrunk(picture: Picture, side: int) -> Picture:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def load_strictly(module: torch.nn.Module, path: Path) -> None:
    """Fills a module from safetensors. Raises EngineError unless the file holds exactly its parameters and shapes."""
    _fill(module, _read(path), path.name)


def _fill(module: torch.nn.Module, tensors: Mapping[str, Tensor], file: str, ignore: tuple[str, ...] = ()) -> None:
    """Fills a module with the tensors of a file; parameters that start with one of `ignore` stay as they are."""
    wanted = {k: v.shape for k, v in module.state_dict().items() if not k.startswith(ignore)}
    found = {k: v.shape for k, v in tensors.items()}
    if wanted != found and wanted.items() <= found.items() and any(k.startswith(ignore) for k in found):
        raise EngineError(
            f"{file} is what a training ends with, a generator and the motion network it was trained on: python -m "
            f"weights.training.export {file} --folder . makes a file of the generator alone"
        )
    if wanted != found:
        odd = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        raise EngineError(f"{file} holds weights of another network: {len(odd)} tensors differ, such as {odd[0]}")
    module.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
        check_finite(tensors, path.name)
        return tensors
    except ValueError as error:
        raise EngineError(str(error)) from error
    except (SafetensorError, OSError) as error:
        if _is_checkpoint(path):
            raise EngineError(
                f"{path.name} is a checkpoint of PyTorch, and safetensors are needed: of one of our own training, "
                f"python -m weights.training.export {path.name} --folder . makes them; of a published one, python -m "
                f"weights convert {path.name}"
            ) from error
        raise EngineError(
            f"{path.name} is not a readable safetensors file ({error}); fetch or copy it again"
        ) from error


def _is_checkpoint(path: Path) -> bool:
    """Whether a file looks like one of `torch.save`, of today or of old."""
    try:
        with path.open("rb") as file:
            return file.read(2) in (b"PK", b"\x80\x02")
    except OSError:
        return False


def generator_of(weights: Mapping[str, Tensor]) -> str:
    """Which of `compact.GENERATORS` has weights of these shapes; `compact` if none has."""
    first = weights.get("encoder.layers.2.0.bias")
    for name, widths in dense_motion.GENERATORS.items():
        if first is not None and len(first) == widths.features:
            return name
    return "compact"
