"""Frames on a GPU: fixed buffers, and a CUDA graph for each number of sources and size of batch.

A frame is several hundred small kernels; starting them one by one takes longer than running them. A graph starts them
all at once, but always on the same memory. So sources are copied into buffers of the graph, on the device and only
when they change; one vector of numbers goes up from page-locked memory, and the drawn bytes come down into such.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from shared.models.frame import Frame, Parts, Pictures, stacked
from shared.models.precision import HALF, NarrowConvolutions
from shared.motion import FloatArray

logger = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8, 16, 32)
"""Sizes of batches that have a graph: every graph holds memory, so there is not one for each size."""
_WARM_UP_RUNS = 3
"""In which cuDNN chooses its kernels, which cannot be done within a capture."""

Run = Callable[[], Tensor]
Recorded = tuple[Tensor, Callable[[], object]]
"""What a run gives, in memory that stays; and what makes it anew there."""
Record = Callable[[Run], Recorded]


class StaticFrames:
    """Draws, as a rule in half precision, into buffers that stay. Threads may call it, one after the other draws."""

    sizes: tuple[int, ...] = BATCHES

    def __init__(
        self, frame: Frame, device: torch.device, record: Record | None = None, dtype: torch.dtype = HALF
    ) -> None:
        """`record` makes a run repeatable; without one, CUDA graphs do, as long as they can be captured.

        dtype: of convolutions.
        """
        self._frame, self._device, self.drawing_type = frame, device, dtype
        self._record = record or _GraphRecorder()
        self._recordings: dict[tuple[int, int, int], _Recording] = {}
        self._lock = threading.Lock()
        # a stream of its own: a frame does not wait for a source that is being enlarged
        self._stream = torch.cuda.Stream(device, priority=-1) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def draw(self, numbers: FloatArray, rows: Sequence[Sequence[Parts]], bases: Pictures | None = None) -> Pictures:
        """See `Frames.draw`."""
        key = (len(rows), len(rows[0]), 0 if bases is None else bases.shape[1])
        with self._lock, torch.inference_mode(), self._on_stream():
            recording = self._recordings.get(key)
            if recording is None:
                recording = self._recordings[key] = self._recorded(numbers, rows, bases)
            return recording.draw(numbers, rows, bases)

    def _recorded(self, numbers: FloatArray, rows: Sequence[Sequence[Parts]], bases: Pictures | None) -> _Recording:
        try:
            return self._recording(numbers, rows, bases)
        except RuntimeError as error:
            if self._record is repeated:
                raise
            reason = str(error).strip().partition("\n")[0]
            logger.warning("no CUDA graph could be captured (%s): frames are drawn more slowly, step by step", reason)
            self._record = repeated
            return self._recording(numbers, rows, bases)

    def _recording(self, numbers: FloatArray, rows: Sequence[Sequence[Parts]], bases: Pictures | None) -> _Recording:
        return _Recording(self._frame, self._device, self._record, numbers, rows, bases, self.drawing_type)

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


class _Recording:
    """One run with its buffers, for one number of sources and one size of batch."""

    def __init__(
        self, frame: Frame, device: torch.device, record: Record, numbers: FloatArray,
        rows: Sequence[Sequence[Parts]], bases: Pictures | None, dtype: torch.dtype,
    ) -> None:  # fmt: skip
        self._on_gpu = device.type == "cuda"
        given = [numbers] if bases is None else [numbers, bases]
        self._given = [torch.from_numpy(each).to(device, copy=True) for each in given]
        self._staged = [torch.empty_like(each, device="cpu", pin_memory=self._on_gpu) for each in self._given]
        self._parts = [part.clone() for part in stacked(rows)]
        self._held = [list(row) for row in rows]

        def run() -> Tensor:
            with NarrowConvolutions(dtype):
                pictures: Tensor = frame(self._given[0], *self._parts, *self._given[1:])
            return pictures

        self._drawn, self._repeat = record(run)
        self._bytes = torch.empty(self._drawn.shape, dtype=torch.uint8, pin_memory=self._on_gpu)

    def draw(self, numbers: FloatArray, rows: Sequence[Sequence[Parts]], bases: Pictures | None) -> Pictures:
        given = [numbers] if bases is None else [numbers, bases]
        for staged, buffer, each in zip(self._staged, self._given, given, strict=True):
            staged.copy_(torch.from_numpy(each))
            buffer.copy_(staged, non_blocking=True)
        self._hold(rows)
        self._repeat()
        self._bytes.copy_(self._drawn, non_blocking=True)
        if self._on_gpu:
            torch.cuda.current_stream().synchronize()
        return np.array(self._bytes.numpy())  # the next frame comes into the same bytes

    def _hold(self, rows: Sequence[Sequence[Parts]]) -> None:
        """Copies those sources into their places that are not there yet."""
        for number, row in enumerate(rows):
            for place, source in enumerate(row):
                if self._held[number][place] is source:
                    continue
                self._held[number][place] = source
                first = place * len(source)
                for buffer, part in zip(self._parts[first : first + len(source)], source, strict=True):
                    buffer[number].copy_(part[0], non_blocking=True)


def repeated(run: Run) -> Recorded:
    """Repeats a run by running it again: where there are no graphs."""
    out = run().clone()
    return out, lambda: out.copy_(run())


class _GraphRecorder:
    """Captures runs as CUDA graphs that share their scratch memory: one of them runs at a time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Run) -> Recorded:
        graph, chosen_before = torch.cuda.CUDAGraph(), torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = True
        try:
            for _ in range(_WARM_UP_RUNS):
                run()
            # only this thread's calls must be fit for a capture: another one may be preparing a source
            with torch.cuda.graph(
                graph, pool=self._pool, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
            ):
                out = run()
        finally:
            torch.backends.cudnn.benchmark = chosen_before
        return out, graph.replay
