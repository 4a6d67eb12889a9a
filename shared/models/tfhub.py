"""The ESRGAN x4 of TensorFlow Hub, behind the extra `tfhub`: TensorFlow is imported only when this upscaler is made."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from shared.cores import available, unhurried
from shared.models.engine import EngineError, Picture
from shared.models.stored_weights import folder
from shared.resampling import resampled

URL = "https://tfhub.dev/captain-pool/esrgan-tf2/1"
"""What is fetched if no folder is given, once: it stays in the user's store."""
SCALE = 4
_PROBE = 8
"""Side in px of the picture that shows, when a model is loaded, what it is."""


class Libraries(NamedTuple):
    """TensorFlow and TensorFlow Hub, imported."""

    tensorflow: ModuleType
    hub: ModuleType


class HubEsrgan:
    """A SavedModel as an upscaler: called with (B, H, W, 3) float32 RGB of 0..255, it gives (B, 4H, 4W, 3) of the same.

    It computes on the GPU if TensorFlow has one and takes memory there only as it needs it.
    """

    def __init__(self, model: Path | None = None, device: str = "cpu") -> None:
        """Loads a SavedModel folder, or what is published at URL. Raises EngineError with what to do.

        device: `cpu` keeps TensorFlow off the GPU, for the rest of this process.
        """
        if model is not None and not (model / "saved_model.pb").is_file():
            raise EngineError(f"{model} is no SavedModel folder (it has no saved_model.pb): give one, or leave it out")
        self._tensorflow, hub = _import()
        set_up(self._tensorflow, device)
        self._model = _load(hub, model)
        where = URL if model is None else str(model)
        try:
            made = self._model(self._tensor(np.zeros((_PROBE, _PROBE, 3), np.uint8)))
            found = tuple(made.shape), made.dtype.name
        except Exception as error:  # TensorFlow's own, and what a model that takes something else may raise
            raise EngineError(f"{where} is no ESRGAN, it does not take a picture: {_first_line(error)}") from error
        if found != ((1, SCALE * _PROBE, SCALE * _PROBE, 3), "float32"):
            raise EngineError(f"{where} is no ESRGAN x4: from {_PROBE}x{_PROBE} px it made {found[1]} of {found[0]}")

    def upscale(self, picture: Picture, size: int) -> Picture:
        """(size, size, 3) from a square picture: four times as large, then resampled to `size`.

        A picture that is large enough already does not pass the model.
        """
        if picture.shape[0] >= size:
            return resampled(picture, size)
        large = self._model(self._tensor(picture))[0].numpy()
        return resampled((large + 0.5).clip(0, 255).astype(np.uint8), size)

    def _tensor(self, picture: Picture) -> Any:
        return self._tensorflow.constant(picture[None], self._tensorflow.float32)


def set_up(tensorflow: ModuleType, device: str) -> None:
    """Keeps TensorFlow off the GPU for `cpu`, from taking all of its memory at once for others, and from all cores.

    Raises EngineError.
    """
    try:
        tensorflow.config.threading.set_intra_op_parallelism_threads(unhurried(available()))
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        if device == "cpu":
            tensorflow.config.set_visible_devices([], "GPU")
        else:
            for gpu in tensorflow.config.list_physical_devices("GPU"):
                tensorflow.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        raise EngineError(f"TensorFlow runs in this process already and cannot change to {device}: {error}") from error


def _import() -> Libraries:
    """Both libraries. Raises EngineError where one is missing, or something that they need."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it complains of every missing GPU; what matters is raised
    os.environ.setdefault("TFHUB_DOWNLOAD_PROGRESS", "1")
    os.environ.setdefault("TFHUB_CACHE_DIR", str(folder() / "tfhub"))  # else the system's temporary folder
    try:
        import tensorflow

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pkg_resources, which our extra pins
            import tensorflow_hub
    except ImportError as error:
        raise EngineError(
            f'--upscaler tfhub needs TensorFlow and TensorFlow Hub ({error}): pip install "pinhole[tfhub]", '
            "or use --upscaler compact"
        ) from error
    return Libraries(tensorflow, tensorflow_hub)


def _load(hub: ModuleType, model: Path | None) -> Any:
    try:
        loaded = hub.load(URL if model is None else str(model))
    except Exception as error:  # network, cache, archive, protocol buffer: each library of it has its own errors
        if model is not None:
            raise EngineError(f"{model} cannot be loaded as a SavedModel: {_first_line(error)}") from error
        raise EngineError(
            f"{URL} could not be fetched ({_first_line(error)}): download the model elsewhere, unpack it and give its "
            "folder as --upscaler-weights"
        ) from error
    if not callable(loaded):
        raise EngineError(f"{model or URL} is a SavedModel that cannot be called: it is no upscaler")
    return loaded


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
