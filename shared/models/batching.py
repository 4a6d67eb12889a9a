"""Batching: frames of several calls drawn together, and the first calls of a network made before the call."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from shared.models.base_fusion import BasePicture, LaterPicture
from shared.models.engine import Engine, Picture, Request, Weighted
from shared.motion import FloatArray, Motion

GATHERING_SECONDS = 0.003
"""How long a frame waits at most for those of other calls."""
_MOST_SOURCES = 3
"""That a frame is drawn from, those that fade out included."""


@runtime_checkable
class DrawsMany(Protocol):
    """An engine that draws several frames together."""

    @property
    def largest_batch(self) -> int:
        """Frames that are better drawn together than one by one."""

    def draw_many(self, requests: Sequence[Request]) -> list[Picture]:
        """A picture for each request."""


def draw_many(engine: Engine, requests: Sequence[Request]) -> list[Picture]:
    """A picture for each request, by an engine that may only draw one at a time."""
    if isinstance(engine, DrawsMany):
        return engine.draw_many(requests)
    return [engine.draw(*request) for request in requests]


def largest_batch(engine: Engine) -> int:
    """Frames that an engine draws together at most."""
    return engine.largest_batch if isinstance(engine, DrawsMany) else 1


@dataclass(eq=False)
class _Waiting:
    """A frame that somebody waits for."""

    request: Request
    taken: bool = False
    picture: Picture | None = None
    error: Exception | None = None

    @property
    def over(self) -> bool:
        return self.picture is not None or self.error is not None


class Batcher:
    """An engine for many threads, in front of another one. Who comes when it is idle draws for all who wait then.

    A frame waits up to GATHERING_SECONDS for those of other calls, and as long as others are drawn before it: under
    load batches grow by themselves.
    """

    def __init__(self, engine: Engine, at_once: int = 1) -> None:
        """at_once: batches drawn at a time."""
        self.name, self.size, self.keypoint_count = engine.name, engine.size, engine.keypoint_count
        self.precision = engine.precision
        self._engine, self._at_once, self._most = engine, at_once, largest_batch(engine)
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._drawing = 0
        self._calls = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """The time of a call: nobody waits for frames of more calls than there are."""
        with self._changed:
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1

    def extract(self, picture: Picture) -> tuple[FloatArray, Motion]:
        return self._engine.extract(picture)

    def prepare(self, picture: Picture, canonical: FloatArray, motion: Motion) -> Any:
        return self._engine.prepare(picture, canonical, motion)

    def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
        mine = _Waiting(Request(sources, driving, base))
        with self._changed:
            self._waiting.append(mine)
            self._changed.notify_all()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: mine.over or (not mine.taken and self._drawing < self._at_once))
                if mine.over:
                    break
                self._drawing += 1
                batch = self._gathered()
            self._perform(batch)
        if mine.error is not None:
            raise mine.error
        assert mine.picture is not None
        return mine.picture

    def _gathered(self) -> list[_Waiting]:
        """The next batch, first come, first served. To be called with the lock held, which it lets go while waiting."""
        wanted = min(self._most, self._calls)
        self._changed.wait_for(lambda: len(self._waiting) >= wanted, GATHERING_SECONDS)
        batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        for each in batch:
            each.taken = True
        return batch

    def _perform(self, batch: Sequence[_Waiting]) -> None:
        """Draws a batch. An error goes to everyone in it."""
        try:
            pictures = draw_many(self._engine, [each.request for each in batch])
            for each, picture in zip(batch, pictures, strict=True):
                each.picture = picture
        except Exception as error:
            for each in batch:
                each.error = error
        finally:
            with self._changed:
                self._drawing -= 1
                self._changed.notify_all()


def warm_up(engine: Engine, rounds: int = 3, calls: int = 1) -> None:
    """Draws a few frames of a grey picture, from two sources, with and without a base layer.

    An engine that draws frames together, as one on a GPU does, draws from every number of sources, and in every size
    of batch that so many `calls` may ask for: each has its own graph.
    """
    k, shape = engine.keypoint_count, (engine.size, engine.size, 3)
    still = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((k, 3), np.float32))
    source = engine.prepare(np.full(shape, 128, np.uint8), np.zeros((k, 3), np.float32), still)
    grey = np.full((64, 64, 3), 128, np.uint8)
    bases = (None, BasePicture(grey, still, 0.0, 63), BasePicture(grey, still, 0.1, 63, LaterPicture(grey, still, 0.1)))
    for _ in range(rounds):
        for given in bases:
            engine.draw([(source, 1.0), (source, 1.0)], still, given)
    if (most := largest_batch(engine)) == 1:
        return
    batch = 1
    while True:
        for count in range(1, _MOST_SOURCES + 1):
            for given in bases:
                draw_many(engine, [Request([(source, 1.0)] * count, still, given)] * batch)
        if batch >= min(calls, most):
            break
        batch = min(2 * batch, most)
