"""Drawing and showing, by stand-ins that are let go one by one: what is slow sees fewer frames, never old ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import numpy as np
import pytest
from call_examples import make_motion

from receiver.player import Player
from receiver.playout import Frame
from receiver.synthesis import Mixed
from shared.cores import DRAWERS
from shared.models.engine import Picture


class Half:
    """Frames without end: whenever one is asked for, some have become due since, and the newest is given."""

    def __init__(self) -> None:
        self.playout = SimpleNamespace(fps=25.0, next_time=lambda: 0.0)
        self.given: list[int] = []
        self.newest = 0

    def due(self, now: float) -> tuple[Frame, Mixed]:
        self.given.append(self.newest)
        frame = Frame(self.newest, self.newest / 25, 0, make_motion())
        self.newest += 1
        return frame, Mixed(((None, 1.0),))  # type: ignore[arg-type]

    def draw(self, frame: Frame, mixed: Mixed) -> Picture:
        return np.full((2, 2, 3), frame.number % 256, np.uint8)

    def draw_from(self, most: int) -> None: ...
    def shown(self, frame: Frame, now: float) -> None: ...
    def next_job(self) -> None: ...


class Sinks:
    """Shows a frame when it is let."""

    def __init__(self, half: Half, show: Callable[[int], Awaitable[bool]]) -> None:
        self.half, self.shown, self._show = half, list[int](), show

    async def show(self, number: int, picture: Picture | None, status: str, capture: float | None = None) -> bool:
        assert picture is not None
        assert int(picture[0, 0, 0]) == number % 256
        going_on = await self._show(number)
        self.shown.append(number)
        return going_on

    async def idle(self, status: str) -> bool:
        return True


async def test_no_frame_is_begun_before_there_is_room_to_show_it() -> None:
    half = Half()

    async def slowly(number: int) -> bool:
        half.newest += 10  # so many became due meanwhile
        for _ in range(50):  # whatever else may run does
            await asyncio.sleep(0.001)
        assert len(half.given) <= len(sinks.shown) + DRAWERS
        return len(sinks.shown) < 9

    sinks = Sinks(half, slowly)
    await Player(half, sinks, lambda: "").run()  # type: ignore[arg-type]
    assert sinks.shown[:10] == half.given[:10]
    behind = [half.given[n + DRAWERS] - half.given[n] for n in range(8)]
    assert min(behind[1:]) >= 10  # what became due while one was shown is not caught up with


async def test_a_sink_that_fails_ends_it() -> None:
    half = Half()

    async def fails(number: int) -> bool:
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        await Player(half, Sinks(half, fails), lambda: "").run()  # type: ignore[arg-type]
