"""What is slow to make is made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from call_examples import CLIP_FRAMES, write_clip
from hypothesis import settings

from sender.sample import sample_frames
from shared.models import precision
from shared.models.engine import Engine, Picture
from shared.models.registry import load_engine

TOOLS = ("benchmarks", "weights/training")
"""Folders of tests of programs that a user of a call never runs."""

settings.register_profile("pinhole", deadline=None)  # how fast the machine is must not matter
settings.load_profile("pinhole")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests in those folders, before some are chosen by their markers."""
    here = Path(__file__).parent
    for item in items:
        if any(item.path.is_relative_to(here / folder) for folder in TOOLS):
            item.add_marker("tools")


@pytest.fixture(autouse=True, scope="session")
def _a_configuration_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, and no program that one starts, makes or reads a key of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _a_plain_processor() -> Iterator[None]:
    """Nothing here is chosen by what the processor multiplies: tests of bf16 ask for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "_cpu_multiplies_bf16", lambda: False)
        yield


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The compact engine on the CPU, with its generator."""
    torch.set_num_threads(1)
    return load_engine("compact", "cpu")


@pytest.fixture(scope="session")
def person() -> list[Picture]:
    """Two seconds of the sample person, 256x256 at 25 fps."""
    return [picture for _, picture in sample_frames(25, CLIP_FRAMES / 25, 256)]


@pytest.fixture(scope="session")
def clip(person: list[Picture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a video file."""
    return write_clip(tmp_path_factory.mktemp("clip") / "person.mp4", person)
