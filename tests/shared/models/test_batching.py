"""Frames of several calls drawn together: by whom, when, and what happens when it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from call_examples import ColourEngine, make_motion, picture
from hypothesis import given
from hypothesis import strategies as st

from shared.models import batching
from shared.models.base_fusion import BasePicture
from shared.models.batching import Batcher, draw_many, largest_batch, warm_up
from shared.models.engine import Picture, Request, Weighted
from shared.models.frame import batches
from shared.motion import Motion


class ManyColours(ColourEngine):
    """Draws up to four frames together, once it may."""

    largest_batch = 4

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.counts: list[int] = []
        self.may_draw = threading.Event()
        self.may_draw.set()
        self.begun = threading.Semaphore(0)

    def draw_many(self, requests: Sequence[Request]) -> list[Picture]:
        self.batches.append(len(requests))
        self.counts.append(len(requests[0][0]))
        self.begun.release()
        assert self.may_draw.wait(10)
        if any(driving.rotation[0] > 50 for _, driving, *_ in requests):
            raise RuntimeError("no head turns so far")
        return [ColourEngine.draw(self, *request) for request in requests]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames wait for each other for as long as a slow machine may take to ask for them."""
    monkeypatch.setattr(batching, "GATHERING_SECONDS", 10.0)


def waiting(batcher: Batcher, count: int) -> Callable[[], bool]:
    return lambda: len(batcher._waiting) == count


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came to that")


@given(st.lists(st.integers(1, 3), max_size=40), st.sampled_from([(1,), (1, 2, 4), (1, 2, 4, 8, 16, 32), (2, 5)]))
def test_every_frame_is_in_one_batch_of_its_kind_and_of_a_known_size(kinds: list[int], sizes: tuple[int, ...]) -> None:
    made = batches(kinds, sizes)
    assert sorted(index for batch in made for index in set(batch)) == list(range(len(kinds)))
    for batch in made:
        assert len({kinds[index] for index in batch}) == 1
        assert len(batch) in sizes
        assert len(set(batch)) > max((size for size in sizes if size < len(batch)), default=0)  # no smaller size does


@pytest.mark.usefixtures("patient")
def test_frames_of_calls_at_the_same_time_are_drawn_together() -> None:
    engine = ManyColours()
    batcher = Batcher(engine)
    with batcher.call(), batcher.call(), batcher.call(), ThreadPoolExecutor(3) as pool:
        yaws = [-10.0, 0.0, 10.0]
        drawn = list(pool.map(lambda yaw: batcher.draw([(7, 1.0)], make_motion(yaw)), yaws))
    assert engine.batches == [3]
    assert all((each == picture(yaw, 7)).all() for each, yaw in zip(drawn, yaws, strict=True))


@pytest.mark.usefixtures("patient")
def test_a_call_that_is_alone_waits_for_nobody() -> None:
    engine = ManyColours()
    batcher = Batcher(engine)
    with batcher.call():
        with batcher.call():
            pass
        for _ in range(3):
            batcher.draw([(1, 1.0)], make_motion())
    assert engine.batches == [1, 1, 1]


def test_what_comes_while_a_batch_is_drawn_is_the_next_one() -> None:
    engine = ManyColours()
    engine.may_draw.clear()
    batcher = Batcher(engine)
    with ThreadPoolExecutor(7) as pool:
        results = [pool.submit(batcher.draw, [(1, 1.0)], make_motion())]
        assert engine.begun.acquire(timeout=10)
        results += [pool.submit(batcher.draw, [(1, 1.0)], make_motion()) for _ in range(6)]
        until(waiting(batcher, 6))
        engine.may_draw.set()
        assert all((each.result(10) == picture(0, 1)).all() for each in results)
    assert engine.batches == [1, 4, 2]


def test_as_many_batches_are_drawn_at_a_time_as_were_asked_for() -> None:
    engine = ManyColours()
    engine.may_draw.clear()
    engine.largest_batch = 1
    batcher = Batcher(engine, at_once=2)
    with ThreadPoolExecutor(3) as pool:
        results = [pool.submit(batcher.draw, [(1, 1.0)], make_motion()) for _ in range(3)]
        assert engine.begun.acquire(timeout=10) and engine.begun.acquire(timeout=10)
        until(waiting(batcher, 1))
        assert len(engine.batches) == 2
        engine.may_draw.set()
        assert len([each.result(10) for each in results]) == 3


@pytest.mark.usefixtures("patient")
def test_an_error_goes_to_all_of_a_batch_and_the_next_one_is_drawn() -> None:
    engine = ManyColours()
    batcher = Batcher(engine)
    with batcher.call(), batcher.call(), ThreadPoolExecutor(2) as pool:
        results = [pool.submit(batcher.draw, [(1, 1.0)], make_motion(yaw)) for yaw in (0, 60)]
        for each in results:
            with pytest.raises(RuntimeError, match="so far"):
                each.result(10)
    assert (batcher.draw([(1, 1.0)], make_motion()) == picture(0, 1)).all()


def test_an_engine_that_draws_one_at_a_time_can_be_shared_too() -> None:
    class Single(ColourEngine):
        def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
            return super().draw(sources, driving, base)

    engine = Single()
    assert largest_batch(engine) == 1
    drawn = draw_many(engine, [Request([(3, 1.0)], make_motion(5)), Request([(4, 1.0)], make_motion(-5))])
    assert (drawn[0] == picture(5, 3)).all() and (drawn[1] == picture(-5, 4)).all()
    batcher = Batcher(engine)
    assert (batcher.name, batcher.size, batcher.keypoint_count) == (engine.name, engine.size, engine.keypoint_count)
    assert batcher.prepare(picture(0, 9), *batcher.extract(picture(0, 9))) == 9


@pytest.mark.parametrize(("calls", "sizes"), [(1, {1}), (2, {1, 2}), (3, {1, 2, 4}), (99, {1, 2, 4})])
def test_warm_up_draws_every_size_that_calls_may_ask_for(calls: int, sizes: set[int]) -> None:
    engine = ManyColours()
    warm_up(engine, 1, calls)
    assert set(zip(engine.batches, engine.counts, strict=True)) == {(size, n) for size in sizes for n in (1, 2, 3)}


def test_warm_up_of_an_engine_that_draws_one_at_a_time_does_not_grow_with_the_calls() -> None:
    engine = ColourEngine()
    warm_up(engine, 2, 8)
    assert len(engine.drawn) == 6  # without a base layer, with one and with two pictures
