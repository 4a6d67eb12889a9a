"""Outputs: where drawn pictures go, a recording that keeps the sender's timeline, a window, and other programs.

Slow ones have a worker each: never more of its work waits than is said here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from receiver.output.page.view import WebView
from receiver.output.recorded_audio import Places, RecordedSound, WavFile, film_rate, keep_sound
from receiver.output.recorder import Recorder, RecordError
from receiver.output.virtual_camera import VirtualCamera
from receiver.output.window import CallWindow, mark, origin
from shared.audio.codec import Samples
from shared.cores import workers
from shared.models.engine import Picture
from shared.signalling.hello import SourceKind
from shared.trust.verified import Verified

Job = Callable[[], object]
_RECORDS_WAITING = 12
"""Pictures that the recording may be behind: half a second, and 10 MB at 512 px. Drawing waits for it then."""
_IDLE_SECONDS = 0.25
"""After which the window is made anew when no picture came: words and this side's own picture change."""
_LONGEST_GAP_SECONDS = 10.0
"""A longer hole in the frame numbers is recorded as this much of a still picture."""


class OrderedQueue:
    """Everything is done. Whoever brings a job while too many wait, waits too."""

    def __init__(self, name: str, most: int) -> None:
        """`most` jobs wait, the one that is being done included."""
        self._room, self._worker = asyncio.Semaphore(most), workers(1, name, patient=True)
        self._failed: BaseException | None = None
        self._broken = False

    async def put(self, job: Job) -> None:
        """Has a job done after those before it; after one that failed none is. Raises what that one raised, once."""
        await self._room.acquire()
        try:
            self.check()
        except BaseException:
            self._room.release()
            raise
        asyncio.get_running_loop().run_in_executor(self._worker, self._do, job).add_done_callback(self._done)

    async def last(self, job: Job) -> None:
        """Does a job after all others, whether they failed or not; raises what it does."""
        await asyncio.get_running_loop().run_in_executor(self._worker, job)

    def check(self) -> None:
        """Raises what a job raised that nobody has been told of."""
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def end(self) -> None:
        """Gives the worker back, once nothing waits."""
        self._worker.shutdown()

    def _do(self, job: Job) -> None:
        """In the worker."""
        if not self._broken:
            self._broken = True
            job()
            self._broken = False

    def _done(self, job: asyncio.Future[None]) -> None:
        self._room.release()
        if not job.cancelled() and job.exception() is not None and self._failed is None:
            self._failed = job.exception()


class NewestQueue:
    """One job is being done and one waits: a newer one takes its place."""

    def __init__(self, name: str) -> None:
        self._worker = workers(1, name)
        self._doing: asyncio.Future[object] | None = None
        self._next: Job | None = None
        self._failed: BaseException | None = None

    def put(self, job: Job) -> None:
        """Has a job done, unless a newer one comes before its turn. Raises what an earlier one raised, once."""
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        self._next = job
        self._go_on()

    async def last(self, job: Job) -> None:
        """Does a job after what is being done and what waits; raises what any of them does."""
        while self._doing is not None:
            await asyncio.wait([self._doing])
            await asyncio.sleep(0)  # for what is called when it is done
        await asyncio.get_running_loop().run_in_executor(self._worker, job)
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def end(self) -> None:
        """Gives the worker back."""
        self._worker.shutdown()

    def _go_on(self) -> None:
        if self._doing is None and self._next is not None:
            job, self._next = self._next, None
            self._doing = asyncio.get_running_loop().run_in_executor(self._worker, job)
            self._doing.add_done_callback(self._done)

    def _done(self, job: asyncio.Future[object]) -> None:
        self._doing = None
        if not job.cancelled() and job.exception() is not None and self._failed is None:
            self._failed = job.exception()
        self._go_on()


class Sinks:
    """A recording, a window and a virtual camera, each optional."""

    def __init__(
        self, out: Path | None, window: bool, fps: float, size: int, kind: SourceKind = "camera",
        camera: bool | str = False, page: WebView | None = None, sound: bool = False, out_audio: Path | None = None,
    ) -> None:  # fmt: skip
        """Opens what was asked for; `kind` of the sender's source, `camera`: whether, or with which device's name.

        `page` is where browsers see the call. `sound`: whether sound comes and is to be in `out` and `out_audio`.

        Raises RecordError, DisplayError or VirtualCameraError.
        """
        self._fps, self._kind = fps, kind
        self._rate = film_rate(fps)
        self._recorder = Recorder(out, self._rate, size, sound, origin(kind)) if out is not None else None
        self._wav = WavFile(out_audio) if out_audio is not None else None
        self._window = CallWindow(mark(kind)) if window else None
        device = camera if isinstance(camera, str) else None
        self._camera = VirtualCamera(fps, mark(kind), device) if camera else None
        self._page = page
        self._writing, self._sending = OrderedQueue("recording", _RECORDS_WAITING), NewestQueue("camera")
        self._composing = workers(1, "window")
        self._composed_at = float("-inf")
        self._longest_gap = round(_LONGEST_GAP_SECONDS * self._rate)
        self._places = Places(self._rate, self._longest_gap)
        recorded = sound and (out is not None or out_audio is not None)
        self.sound = RecordedSound(self._rate, self._longest_gap) if recorded else None
        """Takes the packets of sound to be recorded; None if none is."""
        self._last: Picture | None = None
        self._last_place = self._given_place = -1  # of what is written, and of what is to be
        self.recorded = 0
        """Frames in the recording, repeated ones included."""

    @staticmethod
    def check(out: Path | None, window: bool, camera: bool | str = False) -> None:
        """Raises RecordError, DisplayError or VirtualCameraError for what could not be opened later, before anybody
        calls."""
        if out is not None:
            Recorder(out, 25, 256)
        if window:
            CallWindow()
        if camera:
            VirtualCamera.check(camera if isinstance(camera, str) else None)

    @property
    def window(self) -> CallWindow | None:
        """The window, if there is one."""
        return self._window

    def face_changed(self, seconds: float) -> None:
        """Has every picture from now on say that the face was changed, so many seconds into the call."""
        for each in (self._window, self._camera):
            if each is not None:
                each.mark = mark(self._kind, seconds)

    def watch_over(self, verified: Verified) -> None:
        """Has the window show what is known of the other side, and tell when the user has compared the words."""
        if self._window is not None:
            self._window.banner, self._window.on_compared = lambda: verified.banner, verified.compare

    async def show(self, number: int, picture: Picture | None, status: str, capture: float | None = None) -> bool:
        """Shows frame `number`; no picture means: hold the last one. False once the user closed the window.

        `capture`, in seconds of the sender's clock, is where the picture belongs, and sound with it; without it the
        number says so.
        """
        if picture is not None:
            self._last = picture
        first = round(number * self._rate / self._fps)
        place = max(first, self._given_place + 1) if capture is None else None
        heard: Samples | None = None
        if self.sound is not None and capture is not None:
            place, heard = self.sound.step(first, capture)
        elif capture is not None:
            place = self._places.step(first, capture)
        going_on = True
        if self._last is not None:
            if self._page is not None:
                self._page.show(number, self._last, time.monotonic(), capture)
            if self._camera is not None:
                self._sending.put(partial(self._camera.show, self._last))
            if self._window is not None:
                going_on = await self._put_up(self._window, self._last, status)
        if heard is not None:
            await self._writing.put(partial(self._keep, heard))
        if self._recorder is not None and self._last is not None and place is not None:
            self._given_place = place
            await self._writing.put(partial(self._record, place, self._last))
        return going_on

    async def idle(self, status: str) -> bool:
        """Keeps the window alive while there is nothing new. False once the user closed it."""
        if self._window is None or self._last is None:
            return True
        going_on = self._window.pump()
        if going_on and (self._window.touched or time.monotonic() - self._composed_at > _IDLE_SECONDS):
            return await self._put_up(self._window, self._last, status)
        return going_on

    async def _put_up(self, window: CallWindow, picture: Picture, status: str) -> bool:
        """Composed by a worker: it takes milliseconds, which the link needs. Only the window itself is the loop's."""
        self._composed_at = time.monotonic()
        canvas = await asyncio.get_running_loop().run_in_executor(self._composing, window.composed, picture, status)
        return window.put(canvas)

    async def close(self) -> None:
        """Ends the recordings properly, each whatever happens to the others. Raises what went wrong first."""
        steps: list[Callable[[], None]] = [self._keep_last]
        steps += [each.close for each in (self._wav, self._recorder) if each is not None]
        last: list[Callable[[], Awaitable[None]]] = [partial(self._writing.last, step) for step in steps]
        if self._camera is not None:
            last.append(partial(self._sending.last, self._camera.close))
        wrong: list[Exception] = []
        for each in last:
            try:
                await each()
            except Exception as error:
                wrong.append(error)
        try:
            if self._window is not None:
                self._window.close()  # in this thread, where it was opened
        except Exception as error:
            wrong.append(error)
        self._writing.end()
        self._sending.end()
        self._composing.shutdown()
        try:
            self._writing.check()
        except Exception as error:
            wrong.insert(0, error)
        if wrong:
            raise wrong[0]

    def give_back(self) -> None:
        """Takes window and virtual camera away: there was no call."""
        with ExitStack() as closing:
            for each in (self._window, self._camera):
                if each is not None:
                    closing.callback(each.close)

    def _record(self, place: int, picture: Picture) -> None:
        """Frames that were not shown repeat the one before, so that the recording lasts as long as the call; one that
        has no place of its own is left out."""
        assert self._recorder is not None
        repeats = min(max(place - self._last_place, 0), self._longest_gap)
        if self._last_place < 0:
            self._recorder.begin_at((place + 1 - repeats) / self._rate)
        self._last_place = place
        for _ in range(repeats):
            self._recorder.write(picture)
            self.recorded += 1

    def _keep(self, heard: Samples) -> None:
        keep_sound(heard, self._recorder, self._wav)

    def _keep_last(self) -> None:
        """A disk that refuses the end of the sound must not keep the film from being ended."""
        if self.sound is not None:
            with suppress(RecordError):
                self._keep(self.sound.finish())
