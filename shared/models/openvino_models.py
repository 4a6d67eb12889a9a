"""Networks on a CPU by OpenVINO, an optional extra: in PyTorch's precision, in a quarter to a third less time.

Converting a network takes seconds, so what comes of it is kept in the user's cache, under the hash of all it depends
on. Nothing in it can run code: it is a graph of known operations and their constants.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.cores import available
from shared.models import base_fusion, compact, frame, layers, motion_network

logger = logging.getLogger(__name__)

_MODEL = "network.xml"
_CODE = (base_fusion, compact, frame, layers, motion_network)


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
