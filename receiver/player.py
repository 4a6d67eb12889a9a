"""Draws frames when they are due, and prepares sources, in worker threads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from receiver.effort import Effort
from receiver.incoming import IncomingHalf, Mixed
from receiver.playout import Frame
from receiver.sinks import Sinks
from shared.codec.errors import MalformedMessage
from shared.models.engine import Picture
from shared.session.call import TICK_SECONDS

DRAWERS = 2
"""Frames drawn at a time."""
_SHARE = 0.9
"""Of the time between frames that drawing may take."""


def share_cores() -> None:
    """Gives each of the frames drawn at a time its share of the cores."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // DRAWERS))


class Player:
    """Draws due frames and prepares sources in worker threads.

    Two frames are drawn at a time, each on its share of the cores: two threads on one frame wait for each other at
    every layer, and lose most when another process is busy too.
    """

    def __init__(self, half: IncomingHalf, sinks: Sinks, status: Callable[[], str]) -> None:
        """`status` gives a text to show with the picture."""
        self._half, self._sinks, self._status = half, sinks, status
        self._drawing = ThreadPoolExecutor(DRAWERS, "drawing")
        self._preparing = ThreadPoolExecutor(1, "sources")
        self._free = asyncio.Semaphore(DRAWERS)
        self._effort = Effort(_SHARE * DRAWERS / half.playout.fps)
        self._over = False
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

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._over:
            if self._showing is not None and self._showing.done():
                self._showing.result()
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

    def _draw(self, frame: Frame, sources: Mixed) -> Picture:
        """In a worker."""
        began = time.monotonic()
        picture = self._half.draw(frame, sources)
        now = time.monotonic()
        self._effort.note(len(sources), now - began, now)
        return picture

    async def _wait(self) -> None:
        """Until the next frame may be due."""
        following = self._half.playout.next_time()
        if not self._sinks.idle(self._status()) or (self.call_ended and following is None):
            self._over = True
        ahead = TICK_SECONDS if following is None else following - time.monotonic()
        await asyncio.sleep(min(max(ahead, 0.001), TICK_SECONDS))

    async def _show(
        self, frame: Frame, picture: asyncio.Future[Picture] | None, before: asyncio.Task[None] | None
    ) -> None:
        """Shows a frame once it is drawn and the one before it is shown."""
        try:
            drawn = None if picture is None else await picture
        finally:
            self._free.release()
        if before is not None:
            await before
        if drawn is not None:
            self._half.shown(frame, time.monotonic())
        if not await self._sinks.show(frame.number, drawn, self._status(), frame.capture):
            self._over = True

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
