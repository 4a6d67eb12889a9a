"""Training runs on a bare machine: torch, numpy, opencv and safetensors are all that it may import."""

from __future__ import annotations

import subprocess
import sys

import pytest

ABSENT = ("aiohttp", "aiortc", "av", "cryptography", "msgpack", "openvino", "platformdirs", "tqdm")


@pytest.mark.parametrize(
    "module", ["train", "source_cache", "export", "upscaler", "unpack", "pieces", "gpu_check", "lease", "perceptual"]
)
def test_training_imports_nothing_else(module: str) -> None:
    program = f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); import weights.training.{module}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
