"""The TensorFlow Hub upscaler; what needs TensorFlow is skipped where it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from upscaler_examples import write_saved_model

from shared.models.engine import EngineError
from shared.models.tfhub import HubEsrgan, set_up
from shared.resampling import resampled


class FakeTensorFlow:
    """Remembers what it was told about its GPUs."""

    def __init__(self, *gpus: str, runs: bool = False) -> None:
        self.visible: list[str] = list(gpus)
        self.growing: set[str] = set()
        self.runs = runs
        self.threads: dict[str, int] = {}
        threading = SimpleNamespace(
            set_intra_op_parallelism_threads=lambda count: self.threads.update(intra=count),
            set_inter_op_parallelism_threads=lambda count: self.threads.update(inter=count),
        )
        experimental = SimpleNamespace(set_memory_growth=self._grow)
        self.config = SimpleNamespace(
            set_visible_devices=self._show,
            list_physical_devices=lambda kind: list(gpus),
            experimental=experimental,
            threading=threading,
        )

    def _show(self, devices: list[str], kind: str) -> None:
        assert kind == "GPU"
        self.visible = devices

    def _grow(self, gpu: str, grow: bool) -> None:
        if self.runs:
            raise RuntimeError("Physical devices cannot be modified after being initialized")
        assert grow
        self.growing.add(gpu)


def test_it_stays_off_the_gpu_for_cpu_and_takes_memory_as_needed_else() -> None:
    fake: Any = FakeTensorFlow("gpu:0", "gpu:1")
    set_up(fake, "cuda")
    assert (fake.growing, fake.visible) == ({"gpu:0", "gpu:1"}, ["gpu:0", "gpu:1"])
    fake = FakeTensorFlow("gpu:0")
    set_up(fake, "cpu")
    assert fake.visible == []
    fake = FakeTensorFlow("gpu:0", runs=True)
    with pytest.raises(EngineError, match="runs in this process already and cannot change to cuda"):
        set_up(fake, "cuda")


def test_it_leaves_cores_to_the_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.models.tfhub.available", lambda: 8)
    fake: Any = FakeTensorFlow()
    set_up(fake, "cpu")
    assert fake.threads == {"intra": 4, "inter": 1}


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(EngineError, match=r"is no SavedModel folder \(it has no saved_model.pb\)"):
            HubEsrgan(folder)


@pytest.mark.parametrize("missing", ["tensorflow", "tensorflow_hub"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace())
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EngineError, match=rf'\(.*{missing}.*\): pip install "pinhole\[tfhub\]"'):
        HubEsrgan()


def test_tensorflow_is_imported_only_when_chosen() -> None:
    script = (
        "import sys; sys.modules['tensorflow'] = sys.modules['tensorflow_hub'] = None;"
        "from receiver.upscale import load_upscaler; load_upscaler('compact'); load_upscaler('bicubic')"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_no_network_and_no_model_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(url: str) -> None:
        raise OSError(f"cannot reach {url}\nand more")

    tensorflow: Any = FakeTensorFlow()
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    monkeypatch.setitem(sys.modules, "tensorflow_hub", SimpleNamespace(load=load))  # type: ignore[arg-type]
    with pytest.raises(
        EngineError, match=r"esrgan-tf2/1 could not be fetched \(cannot reach https://\S+/1\): .*--upscaler-weights"
    ):
        HubEsrgan()


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tensorflow_hub", reason="TensorFlow is not installed: pip install 'pinhole[tfhub]'")
    return write_saved_model(tmp_path_factory.mktemp("hub") / "model")


def test_pixels_go_in_and_come_out_as_they_are(saved_model: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    upscaler = HubEsrgan(saved_model)
    large = upscaler.upscale(picture, 96)
    assert large.dtype == np.uint8
    assert (large == picture.repeat(4, 0).repeat(4, 1)).all()
    assert (upscaler.upscale(picture, 48) == resampled(large, 48)).all()
    assert (upscaler.upscale(picture, 24) == picture).all()


def test_values_beyond_the_range_are_clipped(saved_model: Path) -> None:
    picture = np.array([0, 255], np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2)
    lighter = HubEsrgan(write_saved_model(saved_model.parent / "lighter", add=20.3)).upscale(picture, 8)
    assert set(lighter[:4].ravel().tolist()) == {20}
    assert set(lighter[4:].ravel().tolist()) == {255}


def test_other_models_are_refused(saved_model: Path) -> None:
    other = saved_model.parent
    with pytest.raises(EngineError, match=r"no ESRGAN x4: from 8x8 px it made float32 of \(1, 16, 16, 3\)"):
        HubEsrgan(write_saved_model(other / "twice", scale=2))
    with pytest.raises(EngineError, match="does not take a picture"):
        HubEsrgan(write_saved_model(other / "grey", channels=1))
    (other / "broken").mkdir()
    (other / "broken" / "saved_model.pb").write_text("no model")
    with pytest.raises(EngineError, match="cannot be loaded as a SavedModel"):
        HubEsrgan(other / "broken")
