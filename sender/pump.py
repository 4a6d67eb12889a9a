"""Plays a source into an outgoing half, each frame at its time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

from sender.analysis import Analysis
from sender.capture import Capture, Frame
from sender.cpu_load import Spare
from sender.encoder import CallEncoder
from sender.frame_rate import LONGEST_STILL
from sender.microphone import Sound
from sender.source_scheduler import Job, Result
from shared.cores import workers
from shared.models.engine import Picture

logger = logging.getLogger(__name__)

LATE_SECONDS = 0.15
"""Behind its clock by more than this, the sender repeats the last motion instead of analysing a frame."""
HOLD_SECONDS = 20.0
"""How long a file waits for its first source to be held before it plays all the same."""


class Pump:
    """Plays a capture into a half: a frame at its time, analysed in a worker thread.

    A file waits, from its first face on, until its first source is held; the frames until then are kept, and played
    afterwards.
    """

    def __init__(
        self, half: CallEncoder, capture: Capture, seconds: float | None, sound: Sound | None = None, threads: int = 1
    ) -> None:
        """`threads` that work on a frame."""
        self.half, self.capture, self.sound = half, capture, sound
        self.repeated = 0
        """Frames whose motion was repeated because the sender was late."""
        self.on_frame: Callable[[Picture, Analysis | None], None] | None = None
        """Called with each frame analysed: for the caller's own window."""
        self.camera_off = False
        """While it is set no picture is looked at, and the other side is told."""
        self._seconds = seconds
        self._pool, self._workshop = workers(1, "analysis", threads), workers(1, "sources", threads, patient=True)
        self._jobs: set[asyncio.Task[None]] = set()
        self._held = asyncio.Event()
        self._failed: BaseException | None = None
        self._last: Analysis | None = None
        self._start = 0.0  # of the clock by which the capture's stamps are played
        self._pushed = float("-inf")  # stamp of the last frame
        self._picture: Picture | None = None  # the one that was analysed last
        self.spared = 0
        """Frames of a camera that were not analysed, to spare the processor: the receiver makes up the motion between
        others. Every frame of a file goes, if need be with the motion of the one before."""
        self._left_out = False
        """Whether the last frame was one."""
        self._kept: list[tuple[float, Analysis | None]] = []
        self._opened = capture.kind == "camera"
        half.sources.on_held = lambda source_id: self._held.set()

    async def run(self) -> None:
        """Plays until the source ends or its time is up.

        Raises SourceError if the source fails, ValueError if a picture is too large to be sent.
        """
        frames, started = iter(self.capture), False
        try:
            while (item := await self._next(frames)) is not None:
                stamp, picture = item
                if self._seconds is not None and stamp >= self._seconds:
                    break
                if self._failed is not None:
                    raise self._failed
                if not started:
                    began = self.capture.began
                    started, self._start = True, time.monotonic() - stamp if began is None else began
                if stamp <= self._pushed:
                    continue  # the last motion went again for a moment after it
                if self._opened:
                    await self._play(picture, stamp)
                else:
                    await self._keep(picture, stamp)
            if self._kept:
                self._do(self.half.push_no_more(time.monotonic()))
                await self._open()
            await asyncio.gather(*self._jobs)
            if self._failed is not None:
                raise self._failed
        finally:
            self.capture.stop()  # who opened it closes it, which may take its time
            self._pool.shutdown(wait=False)
            self._workshop.shutdown(wait=False)

    async def _next(self, frames: Iterator[Frame]) -> Frame | None:
        """The next frame of the capture. While a camera has none its last motion goes again, and sound with it."""
        fetching = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(self._pool, next, frames, None))
        try:
            while self.capture.kind == "camera" and self._pushed > float("-inf"):
                done, _ = await asyncio.wait([fetching], timeout=LONGEST_STILL)
                if done:
                    break
                stamp = time.monotonic() - self._start
                self._hear(stamp)
                self._push(None if self.camera_off else self._last, stamp)
            return await fetching
        finally:
            fetching.cancel()

    async def _play(self, picture: Picture, stamp: float) -> None:
        await self._wait_for(stamp)
        spares = self.half.effort.spare is Spare.FRAMES
        self._left_out = spares and not self._left_out
        late = time.monotonic() - self._start - stamp > LATE_SECONDS
        if self.camera_off:
            analysis = None
        elif (late or self._left_out) and self.capture.kind != "camera":
            self.repeated += 1
            analysis = self._last
        elif self._left_out:
            self.spared += 1
            self._hear(stamp)
            return
        else:
            analysis = await self._analyse(picture)
        self._hear(stamp)
        self._push(analysis, stamp, picture)

    async def _keep(self, picture: Picture, stamp: float) -> None:
        """Takes a frame of a file whose first source is not held yet: looks ahead from the first face on."""
        analysis = await self._analyse(picture)
        if analysis is None and not self._kept:
            await self._wait_for(stamp)
            self._hear(stamp)
        else:
            self._kept.append((stamp, analysis))
        if self._push(analysis, stamp) is not None:  # the first source is being made
            await self._open()

    async def _open(self) -> None:
        """Waits until the first source is held, then plays what was kept."""
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                await self._held.wait()
        except TimeoutError:
            logger.warning("the receiver has not taken the first source within %g s", HOLD_SECONDS)
        self._opened, kept, self._kept = True, self._kept, []
        self._start = time.monotonic() - kept[0][0]
        for stamp, analysis in kept:
            await self._wait_for(stamp)
            self._hear(stamp)
            self._push(analysis, stamp)

    def _hear(self, stamp: float) -> None:
        """What was said up to a frame goes with it."""
        if self.sound is not None:
            self.half.add_sound(self.sound.take(stamp, self._start))

    async def _wait_for(self, stamp: float) -> None:
        await asyncio.sleep(max(0.0, self._start + stamp - time.monotonic()))

    async def _analyse(self, picture: Picture) -> Analysis | None:
        if picture is self._picture:  # a file that stands still
            return self._last
        loop = asyncio.get_running_loop()
        self._last, self._picture = await loop.run_in_executor(self._pool, self.half.analyse, picture), picture
        if self.on_frame is not None:
            self.on_frame(picture, self._last)
        return self._last

    def go_dark(self) -> None:
        """The source has failed: the other side is told what it is told of a camera that was turned off."""
        self.camera_off = True
        self._push(None, max(time.monotonic() - self._start, self._pushed))

    def _push(self, analysis: Analysis | None, stamp: float, picture: Picture | None = None) -> Job | None:
        if self.camera_off:  # since the frame came
            analysis = picture = None
        self.half.camera_off, self._pushed = self.camera_off, stamp
        job = self.half.push(analysis, self._start + stamp, time.monotonic(), picture)
        self._do(job)
        return job

    def _do(self, job: Job | None) -> None:
        if job is not None:
            task = asyncio.ensure_future(self._perform(job))
            self._jobs.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failed = task.exception()
            self._held.set()  # nothing will be held: do not wait for it

    async def _perform(self, job: Job) -> None:
        work: Callable[[], Result] = job.perform
        result = await asyncio.get_running_loop().run_in_executor(self._workshop, work)
        self.half.done(result, time.monotonic())
