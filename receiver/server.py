"""Listens, and takes calls: one after the other, or several at a time."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from receiver.output.page.view import WebView
from receiver.output.recorder import RecordError
from receiver.output.virtual_camera import VirtualCameraError
from receiver.output.window import announcement
from receiver.receiving import OwnSide, Place, Receiving
from receiver.registry import CallRegistry, listen_for_callers
from receiver.settings import ReceiverContext, ReceiverSettings
from shared.call.directions import Direction, run_directions, status_text
from shared.call.loop import TooManyErrors
from shared.call.report import StatusLine
from shared.desktop import DisplayError
from shared.models.registry import wire_hash
from shared.signalling.hello import RUN, Capability, Hello, check
from shared.signalling.offer_answer import Answer, Busy, SignallingError
from shared.signalling.pasting import PASTE_SECONDS
from shared.tasks import watched
from shared.transport.link import Link, LinkClosed
from shared.transport.webrtc import BadDescription, Peer
from shared.trust.identity import Trust

_LOOK_SECONDS = 0.1
_OPEN_SECONDS = 7.0
"""For camera and microphone: the caller waits ten seconds for the whole answer."""

Ended = asyncio.Task[dict[str, Any] | None]
"""A call that is over: its report, or nothing if the caller did not connect."""


class CannotSend(Exception):
    """This side has nothing to send; the text says why."""


class SendingPart(Direction, OwnSide, Protocol):
    """The sending part of a two-way call, which the window switches."""


class Back(Protocol):
    """What this side sends in a two-way call, opened."""

    @property
    def hello(self) -> Hello:
        """This side's, as a sender."""

    def part(self, link: Link, theirs: Hello, say: Callable[[str], None]) -> SendingPart:
        """The sending part of a call over a link, with a side that introduced itself so; `say` is told what fails."""

    async def close(self) -> None:
        """Gives camera and microphone back. May be called more than once."""


class Receiver:
    """Listens, and takes as many calls at a time as the settings say."""

    def __init__(
        self, settings: ReceiverSettings, context: ReceiverContext, status: StatusLine, view: WebView | None = None,
        send_back: Callable[[], Awaitable[Back]] | None = None,
    ) -> None:  # fmt: skip
        """`view` is where browsers see a call; one at a time, as with the window.

        `send_back` opens what is sent to a caller who receives, too; it may raise CannotSend. Cancelled, it leaves
        nothing open.
        """
        self._view, self._send_back = view, send_back
        self._settings, self._context, self._status = settings, context, status
        self._serving: set[Ended] = set()
        self._over: asyncio.Queue[Ended] = asyncio.Queue()
        self._talking: dict[str, list[Direction]] = {}
        self._answered = 0
        self._window_taken = self._camera_taken = False
        self._run = secrets.token_hex(4)
        self._registry = CallRegistry(settings, self._answer)
        self._tokens: dict[Peer, str] = {}
        """By which each call that can be resumed is."""
        self._trust: Trust | None = None

    async def run(self) -> dict[str, Any]:
        """Serves until no call is left (with `keep`: until cancelled); the last one's report comes back.

        An error ends its own call; that of the last one is raised. Raises CannotListen, RecordError, DisplayError,
        VirtualCameraError, SoundDeviceError, LinkClosed, SignallingError, TooManyErrors.
        """
        settings = self._settings
        self._trust = Trust(settings.trust)
        for number in range(1, settings.calls + 1):
            out, first = self._numbered(settings.out, number), number == 1
            camera = settings.virtual_camera if first else False  # as with the window, the first call has it
            Place.check(replace(settings, out=out, window=settings.window and first, virtual_camera=camera))
        listening = asyncio.create_task(self._listen())
        watching = watched(self._watch(), "the status of the calls is not shown any more")
        listening.add_done_callback(self._ended)
        try:
            while True:
                report = self._outcome(await self._over.get(), open_door=not listening.done())
                if report is not None:
                    return report
                if not self._serving:
                    self._status.say("waiting for the next call")
        finally:
            for task in (listening, watching, *self._serving):
                task.cancel()
            await asyncio.gather(listening, watching, *self._serving, return_exceptions=True)

    async def _listen(self) -> dict[str, Any] | None:
        await listen_for_callers(self._settings, self._registry, self._answer, self._status.say, self._view)
        return None

    def _outcome(self, call: Ended, open_door: bool) -> dict[str, Any] | None:
        """The report of the last call, unless there are more to come. Raises what ended the last call."""
        keep, others = self._settings.keep and open_door, bool(self._serving)
        try:
            report = call.result()
        except (LinkClosed, TooManyErrors) as error:
            if not keep and not others:
                raise
            self._status.say(f"{call.get_name()}the call ended: {error}")
            return None
        except SignallingError as error:
            if not others:
                raise
            self._status.say(f"nobody can join any more: {error}")
            return None
        except (RecordError, DisplayError, VirtualCameraError, OSError) as error:
            if not others:
                raise
            self._status.say(f"{call.get_name()}the call ended: {error}")
            return None
        if report is not None and others:
            self._status.say(f"{call.get_name()}the call is over: {report['ended']}")
        return None if keep or others else report

    async def _answer(self, theirs: Hello, sdp: str, resumed: str | None = None) -> Answer:
        engine, calls = self._context.engine, self._settings.calls
        own: dict[str, Capability] = {RUN: self._run, **self._context.capabilities}
        mine = Hello(
            engine.name, wire_hash(engine.name), "receiver", "camera", theirs.fps, engine.keypoint_count, engine.size,
            own,
        )  # fmt: skip
        check(mine, theirs)
        if len(self._serving) >= calls:
            many = "in a call already" if calls == 1 else f"in {calls} calls already, and takes no more at a time"
            raise Busy(f"the receiver is {many}")
        async with AsyncExitStack() as opened:
            opening = asyncio.ensure_future(self._open_back(theirs))  # both may take seconds, and the caller waits
            opened.push_async_callback(_close_again, opening)
            peer = Peer(self._settings.ice, by_hand=self._settings.by_hand)
            opened.push_async_callback(peer.close)
            try:
                answer = await peer.accept_offer(sdp)
            except BadDescription as error:
                raise ValueError(str(error)) from error
            back = await opening
            if back is not None:
                mine = replace(back.hello, role="both", capabilities={**back.hello.capabilities, **own})
            resume = None if self._settings.by_hand else self._registry.resumable.admit(mine, theirs, resumed)
            if resume is not None:
                self._tokens[peer] = resume
            self._answered = self._next_number()
            name = "" if calls == 1 else f"call {self._answered}: "
            serving = self._serve(peer, theirs, self._answered, name, back, resumed is not None)
            call = asyncio.create_task(serving, name=name)
            self._serving.add(call)
            call.add_done_callback(self._ended)
            opened.pop_all()  # they are the call's from here on
        return Answer(mine, answer, resume)

    async def _open_back(self, theirs: Hello) -> Back | None:
        """What this side sends, if that is asked for on both sides."""
        if self._send_back is None:
            return None
        if theirs.role != "both":
            self._status.say("the caller receives no picture (python -m sender --receive would): sending nothing")
            return None
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                return await self._send_back()
        except CannotSend as error:
            self._status.say(f"sending nothing: {error}")
        except TimeoutError:
            self._status.say(f"sending nothing: camera and microphone could not be opened within {_OPEN_SECONDS:g} s")
        return None

    async def _serve(
        self, peer: Peer, hello: Hello, number: int, name: str, back: Back | None = None, resumed: bool = False
    ) -> dict[str, Any] | None:
        settings, resume, link = self._settings, self._tokens.get(peer), None

        async def hang_up() -> None:
            await (peer if link is None else link).close()

        async with AsyncExitStack() as closing:
            closing.push_async_callback(hang_up)
            closing.callback(self._registry.resumable.end, resume)
            closing.callback(self._tokens.pop, peer, None)
            if back is not None:
                closing.push_async_callback(back.close)
            try:
                await (peer.wait_open(PASTE_SECONDS) if settings.by_hand else peer.wait_open())
            except LinkClosed as error:
                if settings.by_hand:  # the next one would need another offer
                    raise
                self._status.say(f"{name}a caller did not connect: {error}; waiting for the next")
                return None

            def say(text: str) -> None:
                self._status.say(name + text)

            place = self._place(number)
            closing.callback(self._free, place)
            say(f"connected; receiving {hello.fps:g} fps{announcement(hello.source_kind)}")
            link = self._registry.resumable.begin(peer, resume, resumed=resumed)
            sending = None if back is None else back.part(link, hello, say)
            parts: list[Direction] = [Receiving(self._context, link, hello, place, say, sending)]
            parts += [] if sending is None else [sending]
            self._talking[name] = parts
            closing.callback(self._talking.pop, name, None)
            return await run_directions(
                link, parts, "the sender", say, self._numbered(settings.report, number),
                trust=self._trust, offerer=False, waits=settings.wait,
            )  # fmt: skip

    def _free(self, place: Place) -> None:
        """Window and virtual camera are for another call again."""
        self._window_taken &= not place.window
        self._camera_taken &= not place.virtual_camera

    def _place(self, number: int) -> Place:
        """Where the call of this number goes; one at a time has the window, the virtual camera and the page."""
        settings = self._settings
        window = settings.window and not self._window_taken
        camera = False if self._camera_taken else settings.virtual_camera
        self._window_taken |= window
        self._camera_taken |= bool(camera)
        mine = replace(
            settings, window=window, virtual_camera=camera,
            out=self._numbered(settings.out, number), record=self._numbered(settings.record, number),
            out_audio=self._numbered(settings.out_audio, number),
        )  # fmt: skip
        return Place.of(mine, self._view if self._view is not None and self._view.call is None else None)

    def _ended(self, call: Ended) -> None:
        self._serving.discard(call)
        if not call.cancelled():
            self._over.put_nowait(call)

    def _numbered(self, path: Path | None, number: int) -> Path | None:
        """`call.mp4` for one call at a time, `call-2.mp4` for the second of several."""
        if path is None or self._settings.calls == 1:
            return path
        return path.with_stem(f"{path.stem}-{number}")

    def _next_number(self) -> int:
        """Of the next call: the first whose files are not there yet, where several calls have files of their own."""
        settings, number = self._settings, self._answered + 1
        made = (settings.out, settings.record, settings.out_audio, settings.report)
        while settings.calls > 1 and any((p := self._numbered(each, number)) and p.exists() for each in made):
            number += 1
        return number

    async def _watch(self) -> None:
        """Shows how all calls are doing."""
        while True:
            texts = [name + status_text(parts) for name, parts in self._talking.items()]
            if texts:
                self._status.show(" || ".join(texts), time.monotonic())
            await asyncio.sleep(_LOOK_SECONDS)


async def _close_again(opening: asyncio.Future[Back | None]) -> None:
    """What was opened, or is just being, is not needed after all."""
    opening.cancel()
    (back,) = await asyncio.gather(opening, return_exceptions=True)
    if back is not None and not isinstance(back, BaseException):
        await back.close()
