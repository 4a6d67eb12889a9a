"""The player draws frames when they are due, and prepares sources, in worker threads.

Two sources are better than one, but a frame that comes late is worth nothing: how many are drawn from follows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from receiver.decoder import CallDecoder
from receiver.output.outputs import Sinks
from receiver.playout import DueFrame
from receiver.synthesis import Mixed
from shared.call.loop import TICK_SECONDS
from shared.codec import MalformedMessage
from shared.cores import DRAWERS, workers
from shared.gallery import MOST
from shared.models.engine import Picture

RETRY_SECONDS = 20.0
"""After which a machine that was too slow is given another chance: something else may have kept it busy."""
_WEIGHT = 0.1
"""Of the newest frame in the running mean."""
_ENOUGH = 10
"""Frames after which the mean is believed."""
_SHARE = 0.9
"""Of the time between frames that drawing may take."""


@dataclass
class SourceCountControl:
    """Times are seconds and passed in."""

    limit: float
    """Seconds that drawing a frame may take."""
    most: int = MOST
    """Sources that a frame should be drawn from, but for those that fade out."""
    _mean: float = 0.0
    _frames: int = 0
    _since: float = 0.0

    def note(self, sources: int, seconds: float, now: float) -> None:
        """A frame was drawn from so many sources in so many seconds."""
        if self.most == 1 and now - self._since > RETRY_SECONDS:
            self.most, self._frames, self._mean = MOST, 0, 0.0
        if sources < 2 or self.most == 1:
            return
        self._frames += 1
        self._mean += (seconds - self._mean) * max(_WEIGHT, 1 / self._frames)
        if self._frames >= _ENOUGH and self._mean > self.limit:
            self.most, self._since = 1, now


class Player:
    """Draws due frames and prepares sources in worker threads.

    Two frames are drawn at a time, each on its share of the cores, and none is begun before one of them is shown: who
    shows slowly sees fewer frames, and the newest, never a queue of old ones.
    """

    def __init__(self, half: CallDecoder, sinks: Sinks, status: Callable[[], str], threads: int = 1) -> None:
        """`status` gives a text to show with the picture; `threads` that draw a frame."""
        self._half, self._sinks, self._status = half, sinks, status
        self._drawing = workers(DRAWERS, "drawing", threads, patient=True)
        self._preparing = workers(1, "sources", threads, patient=True)
        self._free = asyncio.Semaphore(DRAWERS)
        self._effort = SourceCountControl(_SHARE * DRAWERS / half.playout.fps)
        self._over = False
        self._wrong: Exception | None = None
        """What went wrong first with a frame."""
        self._showing: asyncio.Task[None] | None = None
        self.call_ended = False
        """Set it when nothing more will come: what waits is played to its end, but not for longer than its time."""

    async def run(self) -> None:
        """Plays until cancelled, until the user closes the window, or to the end of an ended call.

        Raises RecordError, DisplayError, and TooManyErrors when the sender's pictures cannot be decoded.
        """
        preparing = asyncio.ensure_future(self._prepare())
        playing = asyncio.ensure_future(self._play())
        try:
            done, _ = await asyncio.wait({preparing, playing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            preparing.cancel()
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)  # it may begin to show one more frame
            await asyncio.gather(preparing, *filter(None, [self._showing]), return_exceptions=True)
            self._drawing.shutdown(wait=True)
            self._preparing.shutdown(wait=True)
        if self._wrong is not None:
            raise self._wrong

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._over:
            await self._free.acquire()
            item = self._half.due(time.monotonic())
            if item is None:
                self._free.release()
                await self._wait()
                continue
            frame, sources = item
            picture = None
            if sources:
                self._half.draw_from(self._effort.most)
                picture = loop.run_in_executor(self._drawing, self._draw, frame, sources)
            self._showing = asyncio.ensure_future(self._show(frame, picture, self._showing))

    def _draw(self, frame: DueFrame, sources: Mixed) -> Picture:
        """In a worker."""
        began = time.monotonic()
        picture = self._half.draw(frame, sources)
        now = time.monotonic()
        self._effort.note(len(sources), now - began, now)
        return picture

    async def _wait(self) -> None:
        """Until the next frame may be due."""
        following = self._half.playout.next_time()
        if not await self._sinks.idle(self._status()) or (self.call_ended and following is None):
            self._over = True
        ahead = TICK_SECONDS if following is None else following - time.monotonic()
        await asyncio.sleep(min(max(ahead, 0.001), TICK_SECONDS))

    async def _show(
        self, frame: DueFrame, picture: asyncio.Future[Picture] | None, before: asyncio.Task[None] | None
    ) -> None:
        """Shows a frame once it is drawn and the one before it is shown."""
        try:
            drawn = None if picture is None else await picture
            if before is not None:
                await before
            if self._wrong is not None:
                return
            if drawn is not None:
                self._half.shown(frame, time.monotonic())
            if not await self._sinks.show(frame.number, drawn, self._status(), frame.capture):
                self._over = True
        except Exception as error:
            self._wrong, self._over = self._wrong or error, True
        finally:
            self._free.release()

    async def _prepare(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            job = self._half.next_job()
            if job is None:
                await asyncio.sleep(TICK_SECONDS)
                continue
            try:
                self._half.add_source(await loop.run_in_executor(self._preparing, self._half.prepare, job))
            except MalformedMessage as error:
                self._half.refuse(job, error)
