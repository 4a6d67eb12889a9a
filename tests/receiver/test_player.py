"""Drawing and showing, by stand-ins that are let go one by one: what is slow sees fewer frames, never old ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from call_examples import make_motion

from receiver.player import Player
from receiver.playout import DueFrame
from receiver.synthesis import Mixed
from shared.call.loop import TooManyErrors
from shared.codec import MalformedPicture
from shared.cores import DRAWERS
from shared.models.engine import Picture

WITHIN = 60.0
"""Seconds after which a test that hangs fails."""
A_SOURCE = Mixed(((None, 1.0),))  # type: ignore[arg-type]


class Half:
    """Frames without end: whenever one is asked for, some have become due since, and the newest is given."""

    def __init__(self) -> None:
        self.playout = SimpleNamespace(fps=25.0, next_time=lambda: 0.0)
        self.given: list[int] = []
        self.newest = 0
        self.on_display: list[int] = []
        self.jobs: list[str] = []
        self.added: list[str] = []
        self.refused: list[str] = []

    def due(self, now: float) -> tuple[DueFrame, Mixed] | None:
        self.given.append(self.newest)
        frame = DueFrame(self.newest, self.newest / 25, 0, make_motion())
        self.newest += 1
        return frame, A_SOURCE

    def draw(self, frame: DueFrame, mixed: Mixed) -> Picture:
        return np.full((2, 2, 3), frame.number % 256, np.uint8)

    def draw_from(self, most: int) -> None: ...

    def shown(self, frame: DueFrame, now: float) -> None:
        self.on_display.append(frame.number)

    def next_job(self) -> str | None:
        return self.jobs.pop(0) if self.jobs else None

    def prepare(self, job: str) -> str:
        return f"{job}, prepared"

    def add_source(self, source: str) -> None:
        self.added.append(source)

    def refuse(self, job: str, error: Exception) -> None:
        self.refused.append(job)


class Few(Half):
    """The frames that are given, one after the other, and then none."""

    def __init__(self, *frames: tuple[int, Mixed]) -> None:
        super().__init__()
        self.frames = list(frames)
        self.playout.next_time = lambda: 0.0 if self.frames else None

    def due(self, now: float) -> tuple[DueFrame, Mixed] | None:
        if not self.frames:
            return None
        number, mixed = self.frames.pop(0)
        self.given.append(number)
        return DueFrame(number, number / 25, 0, make_motion()), mixed


class Gated(Few):
    """A frame is drawn when its gate is opened, in the worker."""

    def __init__(self, *numbers: int) -> None:
        super().__init__(*((number, A_SOURCE) for number in numbers))
        self.begun = {number: threading.Event() for number in numbers}
        self.gates = {number: threading.Event() for number in numbers}
        self.drawn: list[int] = []

    def draw(self, frame: DueFrame, mixed: Mixed) -> Picture:
        self.begun[frame.number].set()
        assert self.gates[frame.number].wait(WITHIN)
        self.drawn.append(frame.number)
        return super().draw(frame, mixed)


class Sinks:
    """Shows a frame when it is let."""

    def __init__(self, show: Callable[[int], Awaitable[bool]] | None = None) -> None:
        self.shown, self.held, self._show = list[int](), list[int](), show
        self.open = True

    async def show(self, number: int, picture: Picture | None, status: str, capture: float | None = None) -> bool:
        assert status == "fine"
        assert picture is None or int(picture[0, 0, 0]) == number % 256
        going_on = self._show is None or await self._show(number)
        (self.held if picture is None else self.shown).append(number)
        return going_on

    async def idle(self, status: str) -> bool:
        return self.open


def player(half: Half, sinks: Sinks) -> Player:
    return Player(half, sinks, lambda: "fine")  # type: ignore[arg-type]


async def begun(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, WITHIN)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():
            await asyncio.sleep(0.001)


async def settle() -> None:
    """Whatever else may run does."""
    for _ in range(50):
        await asyncio.sleep(0.001)


async def test_no_frame_is_begun_before_there_is_room_to_show_it() -> None:
    half = Half()

    async def slowly(number: int) -> bool:
        half.newest += 10  # so many became due meanwhile
        await settle()
        assert len(half.given) <= len(sinks.shown) + DRAWERS
        return len(sinks.shown) < 9

    sinks = Sinks(slowly)
    await player(half, sinks).run()
    assert sinks.shown[:10] == half.given[:10]
    behind = [half.given[n + DRAWERS] - half.given[n] for n in range(8)]
    assert min(behind[1:]) >= 10  # what became due while one was shown is not caught up with


async def test_frames_are_shown_in_order_whichever_was_drawn_first() -> None:
    half, sinks = Gated(0, 1, 2), Sinks()
    play = player(half, sinks)
    playing = asyncio.ensure_future(play.run())
    await begun(half.begun[0])
    await begun(half.begun[1])
    half.gates[1].set()
    await until(lambda: half.drawn == [1])
    await settle()
    assert sinks.shown == []  # the one before it is not drawn yet
    assert not half.begun[2].is_set()  # and holds up the next
    half.gates[0].set()
    half.gates[2].set()
    play.call_ended = True
    await playing
    assert half.drawn[:2] == [1, 0]
    assert sinks.shown == half.on_display == [0, 1, 2]


async def test_a_frame_that_cannot_be_drawn_holds_the_picture_and_is_not_on_display() -> None:
    half, sinks = Few((0, A_SOURCE), (1, Mixed()), (2, A_SOURCE)), Sinks()
    play = player(half, sinks)
    play.call_ended = True
    await play.run()
    assert (sinks.shown, sinks.held, half.on_display) == ([0, 2], [1], [0, 2])


async def test_a_sink_that_fails_ends_it() -> None:
    async def fails(number: int) -> bool:
        raise OSError("no more")

    sinks = Sinks(fails)
    with pytest.raises(OSError, match="no more"):
        await player(Half(), sinks).run()
    assert sinks.shown == []  # nothing after what failed


async def test_what_goes_wrong_while_drawing_arrives_and_nothing_is_shown_after_it() -> None:
    shown = threading.Event()

    class Breaks(Few):
        def draw(self, frame: DueFrame, mixed: Mixed) -> Picture:
            if frame.number == 1:
                assert shown.wait(WITHIN)
                raise RuntimeError("out of memory")
            return super().draw(frame, mixed)

    async def show(number: int) -> bool:
        shown.set()
        return True

    half, sinks = Breaks(*((number, A_SOURCE) for number in range(6))), Sinks(show)
    with pytest.raises(RuntimeError, match="out of memory"):
        await player(half, sinks).run()
    assert sinks.shown == half.on_display == [0]
    assert len(half.given) <= 2 + DRAWERS


async def test_closing_waits_for_the_frame_that_is_being_drawn() -> None:
    half, sinks, before = Gated(0, 1, 2), Sinks(), set(threading.enumerate())
    playing = asyncio.ensure_future(player(half, sinks).run())
    await begun(half.begun[0])
    await begun(half.begun[1])
    playing.cancel()
    await settle()
    assert not playing.done()
    half.gates[0].set()
    half.gates[1].set()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert sorted(half.drawn) == [0, 1]
    assert not half.begun[2].is_set()  # no other is begun
    left = set(threading.enumerate()) - before
    assert not [each for each in left if each.name.startswith(("drawing", "sources"))]


async def test_the_user_closes_the_window_while_a_frame_is_shown() -> None:
    async def closes(number: int) -> bool:
        return number < 3

    sinks = Sinks(closes)
    await player(Half(), sinks).run()
    assert sinks.shown[:4] == [0, 1, 2, 3]
    assert len(sinks.shown) <= 4 + DRAWERS


async def test_the_user_closes_the_window_while_nothing_is_shown() -> None:
    half, sinks = Few(), Sinks()
    playing = asyncio.ensure_future(player(half, sinks).run())
    await settle()
    assert not playing.done()
    sinks.open = False
    await playing


async def test_an_ended_call_is_played_to_its_end() -> None:
    half, sinks = Few(*((number, A_SOURCE) for number in range(20))), Sinks()
    play = player(half, sinks)
    play.call_ended = True
    await play.run()
    assert sinks.shown == list(range(20))


async def test_sources_are_prepared_in_order_beside_a_frame_that_takes_long() -> None:
    half, sinks = Gated(0), Sinks()
    half.jobs = ["one", "two"]
    play = player(half, sinks)
    playing = asyncio.ensure_future(play.run())
    await begun(half.begun[0])
    await until(lambda: len(half.added) == 2)
    assert half.added == ["one, prepared", "two, prepared"]
    assert half.drawn == []
    half.gates[0].set()
    play.call_ended = True
    await playing
    assert sinks.shown == [0]


async def test_a_source_that_cannot_be_decoded_is_refused_and_others_are_taken() -> None:
    class Picky(Few):
        def prepare(self, job: str) -> str:
            if job == "bad":
                raise MalformedPicture("no picture")
            return job

    half = Picky()
    half.jobs = ["bad", "good"]
    playing = asyncio.ensure_future(player(half, Sinks()).run())
    await until(lambda: half.added)
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)
    assert (half.refused, half.added) == (["bad"], ["good"])


async def test_too_many_bad_sources_end_it() -> None:
    class Hostile(Few):
        def prepare(self, job: str) -> str:
            raise MalformedPicture("no picture")

        def refuse(self, job: str, error: Exception) -> None:
            raise TooManyErrors("51 malformed messages")

    half = Hostile()
    half.jobs = ["bad"]
    with pytest.raises(TooManyErrors, match="51"):
        await player(half, Sinks()).run()


async def test_what_goes_wrong_while_a_source_is_prepared_arrives() -> None:
    class Broken(Few):
        def prepare(self, job: str) -> str:
            raise RuntimeError("out of memory")

    half = Broken()
    half.jobs = ["any"]
    with pytest.raises(RuntimeError, match="out of memory"):
        await player(half, Sinks()).run()
    assert half.added == []


async def test_closing_waits_for_the_source_that_is_being_prepared_and_drops_it() -> None:
    class Slow(Few):
        begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

        def prepare(self, job: str) -> str:
            self.begun.set()
            assert self.gate.wait(WITHIN)
            self.ended.set()
            return job

    half = Slow()
    half.jobs = ["late"]
    playing = asyncio.ensure_future(player(half, Sinks()).run())
    await begun(half.begun)
    threading.Timer(0.05, half.gate.set).start()  # closing holds the loop up until the worker is free
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert half.ended.is_set()
    assert half.added == []
