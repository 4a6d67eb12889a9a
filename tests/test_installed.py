"""Pinhole as a user has it: installed, without the repository around it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from call_examples import Program, read_clip

ROOT = Path(__file__).parents[1]
SECONDS = 2.0


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def packages() -> list[Path]:
    """The folders in the repository that hold what is installed."""
    patterns = project()["tool"]["setuptools"]["packages"]["find"]["include"]
    return [each for each in ROOT.iterdir() if each.is_dir() and any(fnmatch(each.name, p) for p in patterns)
            and (each / "__init__.py").is_file()]  # fmt: skip


def own_files() -> Iterator[Path]:
    """Every file of the packages, relative to the repository."""
    for package in packages():
        for path in package.rglob("*"):
            own = path.relative_to(ROOT)
            if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in own.parts):
                yield own


def test_no_file_is_left_out_of_what_is_installed() -> None:
    data = project()["tool"]["setuptools"]["package-data"]["*"]
    lost = [
        str(path)
        for path in own_files()
        if not (ROOT / path.parent / "__init__.py").is_file()
        or not (path.suffix == ".py" or any(fnmatch(path.name, pattern) for pattern in data))
    ]
    assert lost == []


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that was empty before Pinhole was installed there."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # a copy: building leaves files behind
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in packages():
        shutil.copytree(package, source / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    venv.create(folder / "environment", with_pip=True)
    found = folder / "environment" / ("Scripts" if sys.platform == "win32" else "bin")
    install = [found / "python", "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", source]
    subprocess.run(install, cwd=folder, check=True)
    shutil.rmtree(source)
    return found


def run(*command: str | Path, folder: Path) -> str:
    """What a program prints, run elsewhere; it must end well."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_file_arrives(programs: Path, tmp_path: Path) -> None:
    script = "import importlib.metadata as m; print(*m.files('pinhole'), sep='\\n')"
    arrived = set(run(programs / "python", "-c", script, folder=tmp_path).splitlines())
    assert {path.as_posix() for path in own_files()} <= arrived


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "program"), [("sender", "pinhole-send"), ("receiver", "pinhole-receive"), ("weights", "pinhole-weights")]
)
def test_programs_start_by_either_name(programs: Path, tmp_path: Path, module: str, program: str) -> None:
    for command in ([programs / "python", "-m", module], [programs / program]):
        assert f"usage: python -m {module}" in run(*command, "--help", folder=tmp_path)
    wrong = subprocess.run([programs / program, "--nonsense"], cwd=tmp_path, capture_output=True, check=False)
    assert wrong.returncode == 2


@pytest.mark.slow
def test_a_whole_call(programs: Path, tmp_path: Path) -> None:
    receiving = ("--listen", "127.0.0.1:0", "--out", tmp_path / "out.mp4", "--config", tmp_path / "anna")
    with Program(programs / "pinhole-receive", *receiving, folder=tmp_path) as receiver:
        sending = ("--source", "sample", "--seconds", str(SECONDS), "--config", tmp_path / "ben")
        with Program(programs / "pinhole-send", "--peer", receiver.join_url(), *sending, folder=tmp_path) as sender:
            code, said = sender.end()
            assert code == 0, said
        code, said = receiver.end()
        assert code == 0, said
    assert re.search(r"frames shown; wrote .*out\.mp4", said)
    frames, _ = read_clip(tmp_path / "out.mp4")
    assert len(frames) > 10 and frames[-1].std() > 20


@pytest.mark.slow
def test_the_sample_person_and_the_weights_are_there(programs: Path, tmp_path: Path) -> None:
    assert run(programs / "pinhole-weights", "verify", folder=tmp_path).count("ok") >= 5
    run(programs / "pinhole-send", "--source", "sample", "--seconds", "0.5", "--out", "c.pinhole", folder=tmp_path)
    assert (tmp_path / "c.pinhole").stat().st_size > 500
