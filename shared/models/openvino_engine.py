"""OpenVINO, an optional extra: frames and motions of the `compact` engine on a CPU.

In PyTorch's precision, in a quarter to a third less time.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.cores import available
from shared.models import base_fusion, compact, dense_motion, frame, layers, motion_network
from shared.models.frame import Frame, Parts, Pictures, Reading
from shared.models.motion_network import MOTION_INPUT
from shared.motion import FloatArray

logger = logging.getLogger(__name__)
_MODEL = "network.xml"
_CODE = (base_fusion, compact, dense_motion, frame, layers, motion_network)
Read = Callable[[Pictures], FloatArray]
"""From (1, 256, 256, 3) to numbers, as `Reading.forward`."""
COUNTS = (1, 2, 3)
"""Numbers of sources that a frame is drawn from, those that fade out included."""


def installed() -> bool:
    """Whether OpenVINO is there."""
    return _version("openvino") is not None


class Compiled:
    """A network for inputs of fixed shapes. As many threads may call it at a time as PyTorch's leave cores for."""

    def __init__(self, network: nn.Module, inputs: Sequence[Tensor], cache: Path | None = None) -> None:
        """Converts the network, or finds that in the `cache` folder; what the inputs hold does not matter.

        Raises ImportError or RuntimeError if OpenVINO is not there or fails.
        """
        import openvino
        from platformdirs import user_cache_path  # a machine that only trains may lack it

        core, threads = openvino.Core(), torch.get_num_threads()
        at_once = max(1, available() // threads)
        folder = (cache or user_cache_path("pinhole", appauthor=False) / "openvino") / key(network, inputs)
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": at_once,
            "INFERENCE_NUM_THREADS": at_once * threads,
            "ENABLE_CPU_PINNING": False,  # two processes that pin their threads may choose the same core
        }
        compiled = core.compile_model(_found(core, folder) or _made(network, inputs, folder), "CPU", settings)
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(at_once):
            self._idle.put(compiled.create_infer_request())

    def __call__(self, inputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The network's output."""
        request = self._idle.get()
        try:
            request.infer(list(inputs), share_inputs=True)
            return np.array(request.get_output_tensor(0).data)  # the next one comes into the same memory
        finally:
            self._idle.put(request)


def key(network: nn.Module, inputs: Sequence[Tensor]) -> str:
    """Hash of all that a converted network depends on: weights, code, versions, shapes."""
    digest = hashlib.sha256(repr([tuple(each.shape) for each in inputs]).encode())
    digest.update(repr([type(network).__name__, *map(_version, ("openvino", "torch"))]).encode())
    for module in _CODE:
        digest.update(Path(str(module.__file__)).read_bytes())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _found(core: Any, folder: Path) -> Any:
    """The network from the cache; None if it is not there, or damaged."""
    if not (folder / _MODEL).is_file():
        return None
    try:
        return core.read_model(folder / _MODEL)
    except RuntimeError as error:
        logger.warning("%s cannot be read (%s): it is made again", folder, str(error).strip().partition("\n")[0])
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _made(network: nn.Module, inputs: Sequence[Tensor], folder: Path) -> Any:
    """The network converted, and put into the cache."""
    import openvino

    logger.info("converting a network for OpenVINO, once for these weights: some 5 to 20 seconds")
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer tells of every size that it takes for a constant: they are
        traced = torch.jit.trace(network, tuple(inputs), check_trace=False)  # type: ignore[no-untyped-call]
        shapes = [list(each.shape) for each in inputs]
        model = openvino.convert_model(traced, example_input=tuple(inputs), input=shapes)
    try:
        _keep(model, folder)
    except OSError as error:
        logger.warning("%s cannot be written (%s): the networks will be converted at every start", folder, error)
    return model


def _keep(model: Any, folder: Path) -> None:
    """Writes a model, so that another process finds it whole or not at all. Raises OSError."""
    import openvino

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        openvino.save_model(model, made / _MODEL, compress_to_fp16=False)
        if not folder.exists():
            made.rename(folder)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


class OpenVinoFrames:
    """Draws in single precision. As many threads may draw at a time as PyTorch's threads leave cores for."""

    sizes: tuple[int, ...] = (1,)
    drawing_type = torch.float32

    def __init__(self, drawing: Frame, side: int, cache: Path | None = None) -> None:
        """For pictures of `side` px. Raises ImportError or RuntimeError if OpenVINO is not there or fails."""
        self._compiled = {
            (count, base): Compiled(drawing, frame_inputs(drawing, count, side, base), cache)
            for count in COUNTS
            for base in (0, 1, 2)
        }

    def draw(self, numbers: FloatArray, rows: Sequence[Sequence[Parts]], bases: Pictures | None = None) -> Pictures:
        """See `Frames.draw`; rows are drawn one after the other."""
        drawn = []
        for at, sources in enumerate(rows):
            inputs = [numbers[at : at + 1], *(part.numpy() for source in sources for part in source)]
            inputs += [] if bases is None else [bases[at : at + 1]]
            drawn.append(
                np.asarray(self._compiled[len(sources), 0 if bases is None else bases.shape[1]](inputs), np.uint8)
            )
        return np.concatenate(drawn)


class OpenVinoReading:
    """Reads motions in single precision. Compiled when the first picture comes: a receiver reads none."""

    def __init__(self, reading: Reading, otherwise: Read, cache: Path | None = None) -> None:
        """`otherwise` reads if OpenVINO is not there or fails, which is logged."""
        self._reading, self._otherwise, self._cache = reading, otherwise, cache
        self._read: Read | None = None
        self._lock = threading.Lock()

    def __call__(self, picture: Pictures) -> FloatArray:
        """See `Reading.forward`."""
        with self._lock:
            self._read = self._read or self._made()
        return self._read(picture)

    def _made(self) -> Read:
        example = torch.zeros(1, MOTION_INPUT, MOTION_INPUT, 3, dtype=torch.uint8)
        try:
            compiled = Compiled(self._reading, [example], self._cache)
        except (ImportError, RuntimeError) as error:
            logger.warning("OpenVINO does not read here (%s): PyTorch does", str(error).strip().partition("\n")[0])
            return self._otherwise
        return lambda picture: np.asarray(compiled([picture]), np.float32)


def frame_inputs(drawing: Frame, count: int, side: int, bases: int = 0) -> list[Tensor]:
    """Inputs of a frame from `count` sources and so many base pictures; what they hold does not matter."""
    native, features = frame.NATIVE_SIDE, drawing.features
    shapes = [
        (3, native, native),
        (features, native // 4, native // 4),
        (dense_motion.COMPRESSED, native // 8, native // 8),
    ]
    fine = [] if side == native else [(3, side, side)]
    source = [torch.ones(1, *shape) for shape in [*shapes, (frame.SOURCE_NUMBERS,), *fine]]
    more = (0, frame.BASE_NUMBERS, frame.BASE_NUMBERS + frame.AFTER_NUMBERS)[bases]
    numbers = torch.ones(1, count + frame.MOTION_NUMBERS + more)
    return [numbers, *source * count, *[torch.ones(1, bases, native, native, 3, dtype=torch.uint8)] * bool(bases)]
