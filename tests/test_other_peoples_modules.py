"""Files of the user's in the working folder that are named as modules are never taken for ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["sender", "receiver"])
def test_modules_of_the_users_are_not_run(tmp_path: Path, name: str) -> None:
    for module in ("weights", "av", "shared", "random"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('the wrong module')\n")
    arguments = (
        ["--source", "sample", "--seconds", "0.2", "--framing", "none", "--out", "c.pinhole"]
        if name == "sender"
        else ["--play", "missing.pinhole"]
    )
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "the wrong module" not in done.stderr
    assert ("wrote c.pinhole" if name == "sender" else "cannot read missing.pinhole") in done.stderr, done.stderr
