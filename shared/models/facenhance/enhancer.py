"""FacEnhance on pictures as arrays: weights from a file, and a video frame by frame."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from shared.models.engine import EngineError
from shared.models.facenhance.algorithms import draw_frame
from shared.models.facenhance.diffusion import SamplerError
from shared.models.facenhance.network import LOW_SIDE, Conditions, FacEnhanceNetwork, NetworkSettings
from shared.models.stored_weights import check_finite
from shared.resampling import resampled

USUAL_STEPS = 1
"""More of them sharpen little and are less true (docs/facenhance.md)."""
_KEY = "facenhance"

Picture = NDArray[np.uint8]


def write_network(path: Path, network: FacEnhanceNetwork, previous_noise: bool = True) -> None:
    """Writes weights as fp16 safetensors, with the settings they belong to."""
    settings = json.dumps({**asdict(network.settings), "previous_noise": previous_noise})
    tensors = {k: v.detach().half().contiguous().cpu() for k, v in network.state_dict().items()}
    save_file(tensors, path, metadata={_KEY: settings})


def read_network(path: Path) -> tuple[FacEnhanceNetwork, bool]:
    """The network of a file, and whether it was trained with noise on the previous frame. Raises EngineError."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        stored = json.loads(metadata[_KEY])
        previous_noise = bool(stored.pop("previous_noise"))
        network = FacEnhanceNetwork(NetworkSettings(**{**stored, "multipliers": tuple(stored["multipliers"])}))
        network.load_state_dict(tensors)
        check_finite(tensors, path.name)
    except FileNotFoundError as error:
        raise EngineError(f"there is no file {path}: python -m weights.training.facenhance writes one") from error
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise EngineError(
            f"{path.name} holds no weights of FacEnhance ({str(error).splitlines()[0]}): "
            "python -m weights.training.facenhance writes them"
        ) from error
    return network.eval(), previous_noise


class Enhancer:
    """One video: frames in their order, each drawn from the one before.

    All are drawn from the same noise, which the paper does not do: what noise is left in a picture then stands still,
    where it would flicker.
    """

    def __init__(
        self, network: FacEnhanceNetwork, previous_noise: bool = True, device: str = "cpu", steps: int = USUAL_STEPS,
        sampler: str = "auto", seed: int = 0,
    ) -> None:  # fmt: skip
        """`seed`: of the noise."""
        self._network: FacEnhanceNetwork = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device, self._steps, self._sampler = torch.device(device), steps, sampler
        self._previous_noise, self._seed = previous_noise, seed
        self._previous: Tensor | None = None

    @property
    def size(self) -> int:
        """Side of the network's pictures in px."""
        return self._network.settings.size

    def begin_anew(self) -> None:
        """The next frame is the first of a video."""
        self._previous = None

    @torch.inference_mode()
    def enhance(self, low: Picture, identity: Picture, side: int) -> Picture:
        """(side, side, 3) from a frame of the small video and the newest sharp picture, RGB of any size. Slow.

        Larger frames of the video are shrunk to 64 px. Raises EngineError where the sampler cannot be had.
        """
        known = self._tensor(identity, self.size)
        conditions = Conditions(known, known if self._previous is None else self._previous, self._tensor(low, LOW_SIDE))
        random = torch.Generator().manual_seed(self._seed)
        try:
            drawn = draw_frame(self._network, conditions, random, self._steps, self._previous_noise, self._sampler)
        except SamplerError as error:
            raise EngineError(str(error)) from error
        self._previous = drawn
        picture = ((drawn[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        return resampled(picture, side)

    def _tensor(self, picture: Picture, side: int) -> Tensor:
        planes = torch.from_numpy(np.ascontiguousarray(resampled(picture, side)))[None].to(self._device)
        return planes.permute(0, 3, 1, 2).float() / 127.5 - 1
