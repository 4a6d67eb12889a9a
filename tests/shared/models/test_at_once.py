"""Engines and what is beside them, called by several threads at once, as a call does: every result is that of the same
call made alone, bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from receiver.upscale import load_upscaler
from sender.detect import find_heads
from shared.models import openvino_engine
from shared.models.appearance import load_appearances
from shared.models.base_fusion import BasePicture, LaterPicture
from shared.models.batching import Batcher
from shared.models.engine import Engine, Picture
from shared.models.graphs import StaticFrames, repeated
from shared.models.registry import load_engine
from shared.motion import FloatArray, Motion

ROUNDS = 2
"""In which every thread does all that it does."""
Result = list[FloatArray | Picture]
Work = Callable[[int], Result]
"""What a thread does, in its own order from a number on."""


def parts(motion: Motion) -> Result:
    return [motion.rotation, np.float32([motion.scale]), motion.translation, motion.expression]


def extracting(engine: Engine, pictures: list[Picture]) -> Work:
    def work(first: int) -> Result:
        found: Result = []
        for n in range(len(pictures)):
            canonical, motion = engine.extract(pictures[(first + n) % len(pictures)])
            found += [canonical, *parts(motion)]
        return found

    return work


def drawing(engine: Engine, pictures: list[Picture]) -> Work:
    """Sources prepared anew, and frames from one and two of them, with and without base pictures."""
    seen = [engine.extract(picture) for picture in pictures]
    small = [np.ascontiguousarray(picture[::4, ::4]) for picture in pictures]

    def work(first: int) -> Result:
        found: Result = []
        for n in range(len(pictures)):
            a, b = (first + n) % len(pictures), (first + n + 1) % len(pictures)
            sources = [engine.prepare(pictures[i], *seen[i]) for i in (a, b)]
            later = LaterPicture(small[b], seen[b][1], 0.04)
            base = BasePicture(small[a], seen[a][1], 0.04, 63, later if n % 2 else None)
            found.append(engine.draw([(sources[0], 1.0)], seen[b][1]))
            found.append(engine.draw([(sources[0], 0.7), (sources[1], 0.3)], seen[b][1], base))
        return found

    return work


def together(works: list[Work], threads: int = 1) -> Iterator[tuple[Result, Result]]:
    """(alone, at once) of each; all threads begin every round together."""
    jobs = [(work, first) for work in works for first in range(threads)]
    alone = [work(first) for work, first in jobs]
    start = threading.Barrier(len(jobs))

    def run(work: Work, first: int) -> list[Result]:
        torch.set_num_threads(1)
        found = []
        for _ in range(ROUNDS):
            start.wait(60)
            found.append(work(first))
        return found

    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(run, *job) for job in jobs]
        for expected, future in zip(alone, futures, strict=True):
            for found in future.result():
                yield expected, found


def same(works: list[Work], threads: int = 1) -> None:
    for expected, found in together(works, threads):
        assert len(expected) == len(found) > 0
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.fixture
def pictures(person: list[Picture]) -> list[Picture]:
    """Four that differ."""
    return person[::13][:4]


@pytest.mark.parametrize(("size", "precision"), [(256, "fp32"), (512, "bf16")])
def test_extraction_and_drawing_do_not_disturb_each_other(size: int, precision: str, pictures: list[Picture]) -> None:
    torch.set_num_threads(1)
    engine = load_engine("compact", "cpu", size=size, precision=precision)
    shown = pictures if size == 256 else [p.repeat(2, 0).repeat(2, 1) for p in pictures]
    same([extracting(engine, shown), drawing(engine, shown[:2])], threads=2)


def test_buffers_that_stay_are_filled_by_one_thread_at_a_time(engine: Engine, pictures: list[Picture]) -> None:
    frames = engine._frames._frame  # type: ignore[attr-defined]
    other = load_engine("compact", "cpu")
    other._frames = StaticFrames(frames, torch.device("cpu"), repeated, torch.float32)  # type: ignore[attr-defined]
    same([extracting(other, pictures), drawing(other, pictures[:2])], threads=2)


def test_calls_that_share_an_engine_share_nothing_else(engine: Engine, pictures: list[Picture]) -> None:
    same([drawing(Batcher(engine, at_once=2), pictures[:2])], threads=3)


@pytest.mark.skipif(not openvino_engine.installed(), reason="needs OpenVINO")
def test_openvino_does_not_either(pictures: list[Picture]) -> None:
    engine = load_engine("compact", "cpu", backend="openvino")
    same([extracting(engine, pictures), drawing(engine, pictures[:2])], threads=2)


def test_sources_of_several_calls_are_enlarged_and_looked_at_at_once(pictures: list[Picture]) -> None:
    torch.set_num_threads(1)
    upscaler, appearances = load_upscaler("compact"), load_appearances()

    def work(first: int) -> Result:
        chosen = [pictures[(first + n) % len(pictures)] for n in range(2)]
        return [each for p in chosen for each in (upscaler.upscale(p[::4, ::4], 256), appearances(p))]

    same([work], threads=2)


def test_heads_are_looked_for_at_once(pictures: list[Picture]) -> None:
    def work(first: int) -> Result:
        heads = [find_heads(pictures[(first + n) % len(pictures)]) for n in range(len(pictures))]
        return [np.float32(each) for each in heads]

    same([work], threads=3)
