"""Ways to draw a frame: eagerly, from fixed buffers in half precision, by CUDA graphs, by OpenVINO. All look alike."""

from __future__ import annotations

import copy
import itertools
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from call_examples import psnr
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shared.models import engine as engine_module
from shared.models import openvino_engine, precision
from shared.models.base_fusion import BasePicture, LaterPicture
from shared.models.batching import Batcher
from shared.models.engine import CompactEngine, Engine, EngineError, Picture, Request
from shared.models.frame import (
    EagerFrames,
    Frame,
    Frames,
    Parts,
    Pictures,
    Reading,
    base_pixels,
    frame_numbers,
    stacked,
)
from shared.models.graphs import Recorded, Run, StaticFrames, repeated
from shared.models.openvino_engine import COUNTS, OpenVinoFrames, OpenVinoReading, frame_inputs
from shared.models.precision import (
    HALF,
    NAMES,
    PRECISIONS,
    NarrowConvolutions,
    drawing_type,
    halve_weights,
    narrow_for_good,
)
from shared.models.registry import load_engine, locate
from shared.motion import FloatArray, Motion

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
CPU = torch.device("cpu")


class Scene(NamedTuple):
    """Two sources and driving motions."""

    network: torch.nn.Module
    sources: list[Parts]
    motions: list[Motion]

    def numbers(self, count: int, frames: Sequence[int]) -> FloatArray:
        return np.stack([frame_numbers((1.0, 0.4)[:count], self.motions[at]) for at in frames])

    def rows(self, count: int, frames: Sequence[int]) -> list[list[Parts]]:
        return [self.sources[:count]] * len(frames)


@pytest.fixture(scope="module")
def scene(engine: Engine, person: list[Picture]) -> Scene:
    assert isinstance(engine, CompactEngine)
    found = [engine.extract(picture) for picture in person[:40:8]]
    sources = [engine.prepare(person[8 * at], *found[at]) for at in (0, 3)]
    return Scene(engine._network, sources, [motion for _, motion in found])


def a_base(scene: Scene, age: float = 0.04) -> BasePicture:
    grey = np.linspace(60, 200, 128).astype(np.uint8)
    return BasePicture(np.broadcast_to(grey[:, None, None], (128, 128, 3)).copy(), scene.motions[0], age, 63)


def between(scene: Scene) -> BasePicture:
    base = a_base(scene)
    return BasePicture(base.picture, base.motion, 0.04, 63, LaterPicture(base.picture // 2, scene.motions[4], 0.04))


def eagerly(scene: Scene, count: int, frames: Sequence[int]) -> list[Picture]:
    drawing = EagerFrames(Frame(scene.network))  # type: ignore[arg-type]
    return [drawing.draw(scene.numbers(count, [at]), scene.rows(count, [at]))[0] for at in frames]


def halved(scene: Scene) -> Frame:
    network = copy.deepcopy(scene.network)
    for name in ("encoder", "dense_motion", "generator"):
        halve_weights(getattr(network, name))
    return Frame(network)  # type: ignore[arg-type]


def differ(some: Sequence[Picture], others: Sequence[Picture]) -> tuple[int, float]:
    apart = np.abs(np.stack(some).astype(int) - np.stack(others))
    return int(apart.max()), float(apart.mean())


@pytest.mark.parametrize("count", [1, 2])
def test_a_batch_is_drawn_as_its_frames_are(scene: Scene, count: int) -> None:
    frames = [1, 2, 4]
    batch = EagerFrames(Frame(scene.network)).draw(scene.numbers(count, frames), scene.rows(count, frames))  # type: ignore[arg-type]
    assert differ(list(batch), eagerly(scene, count, frames))[0] <= 1
    assert differ([batch[0]], [batch[1]])[0] > 20


def test_requests_of_any_mixture_come_back_in_order(
    engine: Engine, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(engine, CompactEngine) and isinstance(engine._frames, EagerFrames)
    assert engine.largest_batch == 1
    requests = [Request([(source, 1.0) for source in scene.sources[:count]], scene.motions[at], base)
                for base in (None, a_base(scene), between(scene))
                for count, at in ((2, 1), (1, 2), (2, 3))]  # fmt: skip
    singly = [engine.draw(*request) for request in requests]
    assert differ(engine.draw_many(requests), singly) == (0, 0.0)
    monkeypatch.setattr(engine._frames, "sizes", (1, 4))
    assert engine.largest_batch == 4
    assert differ(engine.draw_many(requests), singly)[0] <= 1


@pytest.mark.parametrize("count", [1, 2])
def test_fixed_buffers_and_half_precision_draw_the_same(scene: Scene, count: int) -> None:
    drawing = StaticFrames(halved(scene), CPU, repeated)
    for frames in ([1], [4], [2, 3]):  # the second comes into the buffers of the first
        drawn = drawing.draw(scene.numbers(count, frames), scene.rows(count, frames))
        most, mean = differ(list(drawn), eagerly(scene, count, frames))
        assert most <= 2 and mean < 0.02


def test_fixed_buffers_take_every_base(scene: Scene) -> None:
    drawing, plain = StaticFrames(halved(scene), CPU, repeated), EagerFrames(Frame(scene.network))  # type: ignore[arg-type]
    base = a_base(scene)
    dark = BasePicture(base.picture // 2, base.motion, 0.08, 63)
    seen = []
    for each in (base, dark, None, between(scene)):
        numbers = frame_numbers((1.0,), scene.motions[2], each)[None]
        pixels = None if each is None else base_pixels(each)[None]
        drawn = drawing.draw(numbers, scene.rows(1, [2]), pixels)
        most, mean = differ(list(drawn), list(plain.draw(numbers, scene.rows(1, [2]), pixels)))
        assert most <= 3 and mean < 0.05
        seen.append(drawn)
    assert float(seen[0].mean()) > float(seen[3].mean()) + 10 > float(seen[1].mean()) + 15


@pytest.mark.parametrize("size", [256, 512])
def test_bf16_on_a_cpu_draws_the_same(person: list[Picture], size: int) -> None:
    files = locate("compact-motion"), locate("compact-generator")
    single, narrow = (CompactEngine(*files, "cpu", size, precision=each) for each in ("fp32", "bf16"))
    assert (single.precision, narrow.precision) == ("fp32", "bf16")
    found = [single.extract(picture) for picture in person[:40:8]]
    assert (narrow.extract(person[0])[1].vector() == found[0][1].vector()).all()  # motions are never narrowed
    large = [np.repeat(np.repeat(p, size // 256, 0), size // 256, 1) for p in person[:40:8]]
    pictures = []
    for engine in (single, narrow):
        sources = [(engine.prepare(large[at], *found[at]), 1.0) for at in (0, 3)]
        pictures.append([engine.draw(sources[:count], found[at][1]) for count in (1, 2) for at in (1, 4)])
    assert differ(*pictures) != (0, 0.0)
    assert all(psnr(*pair) > 45 for pair in zip(*pictures, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fixed_buffers_draw_in_the_type_they_are_told(scene: Scene, dtype: torch.dtype) -> None:
    drawing = StaticFrames(Frame(scene.network), CPU, repeated, dtype)  # type: ignore[arg-type]
    drawn, wanted = drawing.draw(scene.numbers(2, [1]), scene.rows(2, [1])), eagerly(scene, 2, [1])
    assert (differ(list(drawn), wanted) == (0, 0.0)) is (dtype == torch.float32)
    assert differ(list(drawn), wanted)[1] < 0.2


@pytest.mark.parametrize(
    ("device", "multiplies", "auto"),
    [("cuda", True, "fp16"), ("cuda", False, "fp16"), ("cpu", True, "bf16"), ("cpu", False, "fp32")],
)
def test_what_draws_by_device_and_processor(
    device: str, multiplies: bool, auto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_cpu_multiplies_bf16", lambda: multiplies)
    found = {each: NAMES[drawing_type(each, torch.device(device))] for each in PRECISIONS}
    assert found == {"auto": auto, "fp32": "fp32", "bf16": "bf16"}


def test_an_engine_says_what_it_draws_in() -> None:
    assert load_engine("compact", "cpu").precision == "fp32"
    assert load_engine("compact", "cpu", precision="bf16").precision == "bf16"
    assert load_engine("compact", "cpu", draws=False, precision="bf16").precision == "fp32"  # it draws nothing
    assert Batcher(load_engine("compact", "cpu", precision="bf16")).precision == "bf16"


def test_only_what_is_wide_keeps_its_type() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.SiLU(), torch.nn.Conv2d(4, 2, 1))
    narrow_for_good(network, torch.bfloat16, {network[2]})
    seen = [layer.weight.dtype for layer in (network[0], network[2])]  # type: ignore[union-attr]
    assert seen == [torch.bfloat16, torch.float32]
    assert network[:2](torch.rand(1, 3, 5, 5)).dtype == torch.bfloat16
    assert network(torch.rand(1, 3, 5, 5)).dtype == torch.float32


def test_another_source_replaces_the_one_before_in_its_buffer(scene: Scene) -> None:
    drawing, numbers = StaticFrames(halved(scene), CPU, repeated), scene.numbers(1, [2])
    first, other = ([source] for source in scene.sources)
    before, after, again = (drawing.draw(numbers, [row])[0] for row in (first, other, first))
    assert differ([before], [after])[0] > 20
    assert differ([before], [again]) == (0, 0.0)


def test_a_graph_that_cannot_be_captured_is_told_once_and_done_without(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(run: Run) -> Recorded:
        raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    drawing = StaticFrames(halved(scene), CPU, refuse)
    for frames in ([1], [1, 2]):
        drawn = drawing.draw(scene.numbers(1, frames), scene.rows(1, frames))
        assert differ(list(drawn), eagerly(scene, 1, frames))[0] <= 2
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "no CUDA graph could be captured (operation not permitted when stream is capturing): frames" in warnings[0]


FROM_THE_HOST = ("aten::index.Tensor", "aten::nonzero", "aten::_local_scalar_dense")
"""What lists of indices come to a device by, and results to Python."""


class NoHost(TorchDispatchMode):
    """Fails when something is copied from or to the host: no CUDA graph can hold that."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        hosts = [each for each in tree_leaves((args, kwargs, out)) if isinstance(each, torch.Tensor)]
        assert all(each.device.type == "meta" for each in hosts), f"{func} works on the host"
        assert func.name() not in FROM_THE_HOST, f"{func.name()} works on the host"
        return out


def test_a_frame_never_touches_the_host(scene: Scene) -> None:
    frame = halved(scene).to("meta")
    kinds = [*itertools.product((1, 2, 3), (256,), (0, 1, 2)), (1, 512, 0), (2, 512, 1), (3, 512, 2)]
    for count, size, bases in kinds:
        inputs = [each.to("meta") for each in frame_inputs(frame, count, size, bases)]
        with torch.inference_mode(), NoHost(), NarrowConvolutions():
            assert frame(*inputs).shape == (1, size, size, 3)


@pytest.mark.parametrize("careless", [lambda x: x[:, [1, 2]], lambda x: x + torch.rand(1).to("meta")])
def test_the_guard_of_the_host_notices(careless: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with NoHost(), pytest.raises(AssertionError, match="works on the host"):
        careless(torch.zeros(1, 5, device="meta"))


def test_coordinates_stay_in_single_precision() -> None:
    x, weight = torch.rand(1, 2, 4, 4), torch.rand(2, 2, 1, 1)
    with NarrowConvolutions():
        convolved = F.conv2d(x, weight)
        assert convolved.dtype == HALF
        assert (convolved.flatten(2).transpose(1, 2) @ x[0, 0, :2, :2]).dtype == torch.float32
        assert torch.einsum("bchw,bcd->bhwd", convolved, torch.rand(1, 2, 2)).dtype == torch.float32
        assert F.grid_sample(convolved, torch.rand(1, 4, 4, 2), align_corners=True).dtype == torch.float32
        assert (convolved.softmax(1) + x).dtype == torch.float32
    assert F.conv2d(x, weight).dtype == torch.float32


def test_rows_are_stacked_part_by_part(scene: Scene) -> None:
    a, b = scene.sources
    parts = stacked([[a, b], [b, a]])
    assert len(parts) == len(a) + len(b)
    assert torch.equal(parts[0], torch.cat([a[0], b[0]]))
    assert torch.equal(parts[len(a)], torch.cat([b[0], a[0]]))


@pytest.mark.parametrize("draws", [True, False])
def test_openvino_that_is_not_there_is_asked_for_in_vain(monkeypatch: pytest.MonkeyPatch, draws: bool) -> None:
    monkeypatch.setattr(openvino_engine, "_version", lambda package: None)
    with pytest.raises(EngineError, match=r"pip install 'pinhole\[fast\]', or use --backend torch"):
        load_engine("compact", "cpu", draws, backend="openvino")


def test_openvino_does_not_draw_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "_version", lambda package: "2026.4")
    with pytest.raises(EngineError, match="--backend openvino draws in fp32: leave --precision out, or"):
        load_engine("compact", "cpu", backend="openvino", precision="bf16")
    drawing = load_engine("compact", "cpu", backend="auto", precision="bf16")
    assert drawing.precision == "bf16" and isinstance(drawing._frames, EagerFrames)  # type: ignore[attr-defined]


def test_openvino_that_cannot_be_imported_is_an_error_if_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # makes importing it fail
    monkeypatch.setattr(openvino_engine, "_version", lambda package: "2026.4")
    with pytest.raises(EngineError, match=r"OpenVINO does not draw here \(.*openvino.*\): use --backend torch"):
        load_engine("compact", "cpu", backend="openvino")


def test_a_sender_reads_without_openvino_if_that_fails(
    engine: Engine, person: list[Picture], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(openvino_engine, "_version", lambda package: "2026.4")
    sender = load_engine("compact", "cpu", draws=False, backend="auto")
    for picture in person[:2]:
        assert (sender.extract(picture)[1].vector() == engine.extract(picture)[1].vector()).all()
    assert caplog.text.count("OpenVINO does not read here") == 1


def test_auto_is_pytorch_where_openvino_is_not_installed_or_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(frame: Frame, size: int) -> Frames:
        raise RuntimeError("Exception from core.cpp:117\nand much more")

    monkeypatch.setattr(engine_module, "OpenVinoFrames", fail)
    monkeypatch.setattr(openvino_engine, "_version", lambda package: None)
    assert isinstance(load_engine("compact", "cpu", backend="auto")._frames, EagerFrames)  # type: ignore[attr-defined]
    assert not caplog.records
    monkeypatch.setattr(openvino_engine, "_version", lambda package: "2026.4")
    assert isinstance(load_engine("compact", "cpu", backend="auto")._frames, EagerFrames)  # type: ignore[attr-defined]
    assert "OpenVINO does not draw here (Exception from core.cpp:117): PyTorch does" in caplog.text
    caplog.clear()
    load_engine("compact", "cpu", size=512, backend="auto")  # where it is no faster it is not even tried
    assert not caplog.records


@pytest.fixture(
    params=[
        "a stand-in",
        pytest.param("the library", marks=[pytest.mark.slow, pytest.mark.skipif(
            not openvino_engine.installed(), reason="OpenVINO is not installed: pip install 'pinhole[fast]'")]),
    ],
)  # fmt: skip
def openvino(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """OpenVINO, or what looks like it and runs PyTorch; the settings that the stand-in has compiled with."""
    compiled: list[dict[str, Any]] = []
    if request.param == "a stand-in":
        monkeypatch.setattr(openvino_engine, "_version", lambda package: "2026.4")
        library = SimpleNamespace(
            Core=lambda: SimpleNamespace(read_model=torch.jit.load, compile_model=compile_model),
            convert_model=lambda traced, example_input, input: traced,
            save_model=lambda model, path, compress_to_fp16: (path.parent.mkdir(), torch.jit.save(model, path)),
        )
        monkeypatch.setitem(sys.modules, "openvino", library)  # type: ignore[arg-type]

    def compile_model(model: Any, device: str, settings: dict[str, Any]) -> SimpleNamespace:
        compiled.append(settings)
        return SimpleNamespace(create_infer_request=lambda: StandInRequest(model))

    return compiled


class StandInRequest:
    """Runs a traced network as OpenVINO's requests run a compiled one."""

    def __init__(self, model: Callable[..., torch.Tensor]) -> None:
        self._model = model

    def infer(self, inputs: list[np.ndarray], share_inputs: bool) -> None:
        with torch.inference_mode():
            self._out = self._model(*map(torch.from_numpy, inputs)).numpy()

    def get_output_tensor(self, number: int) -> SimpleNamespace:
        return SimpleNamespace(data=self._out)


@pytest.mark.parametrize(("cores", "threads", "at_once"), [(1, 1, 1), (8, 2, 4), (2, 4, 1)])
@pytest.mark.parametrize("openvino", ["a stand-in"], indirect=True)
def test_openvino_has_the_cores_that_threads_of_pytorch_leave(
    openvino: list[dict[str, Any]], cores: int, threads: int, at_once: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(openvino_engine, "available", lambda: cores)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    doubled = openvino_engine.Compiled(torch.nn.Upsample(scale_factor=2), [torch.ones(1, 1, 2, 2)], tmp_path)
    assert doubled([np.ones((1, 1, 2, 2), np.float32)]).shape == (1, 1, 4, 4)
    assert (openvino[0]["NUM_STREAMS"], openvino[0]["INFERENCE_NUM_THREADS"]) == (at_once, at_once * threads)
    assert openvino[0]["INFERENCE_PRECISION_HINT"] == "f32"


@pytest.mark.parametrize("openvino", ["a stand-in"], indirect=True)
@pytest.mark.usefixtures("openvino")
def test_auto_is_openvino_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        engine_module, "OpenVinoFrames", lambda frame, size: SimpleNamespace(drawing_type=torch.float32)
    )
    engine = load_engine("compact", "cpu", backend="auto")
    assert isinstance(engine._frames, SimpleNamespace)  # type: ignore[attr-defined]
    assert isinstance(engine._numbers, OpenVinoReading)  # type: ignore[attr-defined]
    assert engine.precision == "fp32"


def test_what_openvino_converts_is_kept_under_all_that_it_depends_on(scene: Scene) -> None:
    frame = Frame(scene.network)  # type: ignore[arg-type]
    keys = {openvino_engine.key(frame, frame_inputs(frame, n, side)) for n in (1, 2) for side in (256, 512)}
    assert len(keys) == 4
    changed = Frame(copy.deepcopy(scene.network))  # type: ignore[arg-type]
    with torch.no_grad():
        next(iter(changed.parameters())).add_(1)
    inputs = frame_inputs(frame, 1, 256)
    assert openvino_engine.key(frame, inputs) in keys
    assert openvino_engine.key(changed, inputs) not in keys


@pytest.mark.usefixtures("openvino")
def test_openvino_draws_the_same(scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):  # converted, then from the cache
        drawing = OpenVinoFrames(Frame(scene.network), 256, tmp_path)  # type: ignore[arg-type]
        for count in (1, 2):
            drawn = drawing.draw(scene.numbers(count, [1, 3]), scene.rows(count, [1, 3]))
            most, mean = differ(list(drawn), eagerly(scene, count, [1, 3]))
            assert most <= 2 and mean < 0.01
    assert caplog.text.count("converting") == 3 * len(COUNTS)
    next(tmp_path.glob("*/network.xml")).write_text("damaged")
    OpenVinoFrames(Frame(scene.network), 256, tmp_path)  # type: ignore[arg-type]
    assert caplog.text.count("it is made again") == 1


@pytest.mark.usefixtures("openvino")
def test_openvino_reads_the_same(scene: Scene, person: list[Picture], tmp_path: Path) -> None:
    def never(picture: Pictures) -> FloatArray:
        raise AssertionError("PyTorch read instead")

    reading = Reading(scene.network.motion)  # type: ignore[arg-type]
    read = OpenVinoReading(reading, never, tmp_path)
    for picture in person[:20:5]:
        with torch.inference_mode():
            wanted = reading(torch.from_numpy(picture[None])).numpy()
        assert np.abs(read(picture[None]) - wanted).max() < 1e-4


@pytest.mark.gpu
@NO_GPU
@pytest.mark.parametrize("size", [256, 512])
def test_a_gpu_draws_the_same_by_graphs(person: list[Picture], size: int, caplog: pytest.LogCaptureFixture) -> None:
    files = locate("compact-motion"), locate("compact-generator")
    ours, theirs = (CompactEngine(*files, device, size) for device in ("cpu", "cuda"))
    found = [ours.extract(picture) for picture in person[:40:8]]
    large = [np.repeat(np.repeat(p, size // 256, 0), size // 256, 1) for p in person[:40:8]]
    requests = []
    for engine in (ours, theirs):
        sources = [(engine.prepare(large[at], *found[at]), 1.0) for at in (0, 3)]
        requests.append([Request(sources[:count], found[at][1]) for count in (1, 2) for at in (1, 2, 4)])
    most, mean = differ(theirs.draw_many(requests[1]), ours.draw_many(requests[0]))
    assert most <= 3 and mean < 0.1
    assert not caplog.records  # every graph could be captured
