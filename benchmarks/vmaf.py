"""VMAF (Li et al. 2016) by `vmaf-torch`, where it is installed: reported, and decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.metrics import Picture

EVERY = 10
"""Every how many-th frame is judged, motion aside: a frame takes 50 ms."""


def missing() -> str | None:
    """Why there is no VMAF, in words; None if there is."""
    try:
        import vmaf_torch  # noqa: F401
    except ImportError:
        return "vmaf-torch is not installed: pip install 'pinhole[bench]'"
    return None


class Vmaf:
    """VMAF against one reference."""

    def __init__(self, reference: Sequence[Picture]) -> None:
        """`reference`: (H, W) luma of consecutive frames, full range. Raises ImportError without vmaf-torch."""
        from vmaf_torch import VMAF

        self._model: Any = VMAF(clip_score=True)
        whole = _tensor(reference)
        with torch.inference_mode():
            self._motion = self._model.compute_motion2(whole)[::EVERY]
        self._reference = whole[::EVERY]

    def __call__(self, shown: Sequence[Picture]) -> float:
        """0..100, mean over every tenth frame; as many (H, W) luma pictures as the reference has."""
        pictures = _tensor(shown[::EVERY])
        with torch.inference_mode():
            detail = self._model.compute_adm_score(self._reference, pictures)
            fidelity = self._model.compute_vif_features(self._reference, pictures)
            return float(self._model.predict(detail, self._motion, fidelity).mean())


def _tensor(pictures: Sequence[Picture]) -> Tensor:
    """(N, 1, H, W) in 16..235: the model was trained on limited range."""
    full = torch.from_numpy(np.stack(pictures)).float()[:, None]
    return full * (219 / 255) + 16
