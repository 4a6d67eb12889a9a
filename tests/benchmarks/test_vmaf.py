"""VMAF, where vmaf-torch is installed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metrics import Picture, luma
from benchmarks.vmaf import Vmaf, missing


def test_what_is_missing_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vmaf_torch", None)
    assert "pip install" in str(missing())


def test_a_worse_picture_has_less(person: list[Picture]) -> None:
    pytest.importorskip("vmaf_torch")
    clip = [luma(picture) for picture in person[:11]]
    vmaf = Vmaf(clip)
    coarse = [np.asarray(picture // 32 * 32 + 16, np.uint8) for picture in clip]
    assert vmaf(clip) > 95
    assert 0 < vmaf(coarse) < 80
