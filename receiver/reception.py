"""Listens, and takes calls: one after the other, or several at a time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from receiver.call import Conversation, Place, ReceiverSettings, Studio
from receiver.entrance import let_in
from receiver.page.stage import Stage
from receiver.record import RecordError, check_place
from receiver.recording import CallRecording
from receiver.sinks import Sinks
from receiver.virtual_camera import VirtualCameraError
from shared.desktop import DisplayError
from shared.link.base import LinkClosed
from shared.link.webrtc import BadDescription, Peer
from shared.models.registry import wire_hash
from shared.session.call import TooManyErrors
from shared.session.exchange import Busy, SignallingError
from shared.session.hello import Hello, check
from shared.session.pasting import PASTE_SECONDS
from shared.session.status import StatusLine
from shared.sound.devices import open_speaker

_LOOK_SECONDS = 0.1

Ended = asyncio.Task[dict[str, Any] | None]
"""A call that is over: its report, or nothing if the caller did not connect."""


class Receiver:
    """Listens, and takes as many calls at a time as the settings say."""

    def __init__(
        self, settings: ReceiverSettings, studio: Studio, status: StatusLine, stage: Stage | None = None
    ) -> None:
        """`stage` is where browsers see a call; one at a time, as with the window."""
        self._stage = stage
        self._settings, self._studio, self._status = settings, studio, status
        self._serving: set[Ended] = set()
        self._over: asyncio.Queue[Ended] = asyncio.Queue()
        self._talking: dict[str, Conversation] = {}
        self._answered = 0
        self._window_taken = self._camera_taken = False

    async def run(self) -> dict[str, Any]:
        """Serves until no call is left (with `keep`: until cancelled); the last one's report comes back.

        An error ends its own call; that of the last one is raised. Raises CannotListen, RecordError, DisplayError,
        VirtualCameraError, SoundDeviceError, LinkClosed, SignallingError, TooManyErrors.
        """
        settings = self._settings
        for number in range(1, settings.calls + 1):
            camera = settings.virtual_camera if number == 1 else False  # as with the window, the first call has it
            Sinks.check(self._numbered(settings.out, number), settings.window, camera)
            if settings.record is not None:
                CallRecording.check(settings.record)
            if settings.out_audio is not None:
                check_place(settings.out_audio)
        if settings.audio and settings.speaker is not None:
            open_speaker(settings.speaker).close()
        listening, watching = asyncio.create_task(self._listen()), asyncio.create_task(self._watch())
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
        await let_in(self._settings, self._answer, self._status.say)
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
        except (RecordError, DisplayError, VirtualCameraError) as error:
            if not others:
                raise
            self._status.say(f"{call.get_name()}the call ended: {error}")
            return None
        if report is not None and others:
            self._status.say(f"{call.get_name()}the call is over: {report['ended']}")
        return None if keep or others else report

    async def _answer(self, theirs: Hello, sdp: str) -> tuple[Hello, str]:
        engine, calls = self._studio.engine, self._settings.calls
        mine = Hello(
            engine.name, wire_hash(engine.name), "receiver", "camera", theirs.fps, engine.keypoint_count, engine.size
        )
        check(mine, theirs)
        if len(self._serving) >= calls:
            many = "in a call already" if calls == 1 else f"in {calls} calls already, and takes no more at a time"
            raise Busy(f"the receiver is {many}")
        peer = Peer(self._settings.ice, by_hand=self._settings.by_hand)
        try:
            answer = await peer.accept_offer(sdp)
        except BaseException as error:
            await peer.close()
            if isinstance(error, BadDescription):
                raise ValueError(str(error)) from error
            raise
        self._answered += 1
        name = "" if calls == 1 else f"call {self._answered}: "
        call = asyncio.create_task(self._serve(peer, theirs, self._answered, name), name=name)
        self._serving.add(call)
        call.add_done_callback(self._ended)
        return mine, answer

    async def _serve(self, peer: Peer, hello: Hello, number: int, name: str) -> dict[str, Any] | None:
        settings, window = self._settings, False
        camera: bool | str = False
        try:
            try:
                await (peer.wait_open(PASTE_SECONDS) if settings.by_hand else peer.wait_open())
            except LinkClosed as error:
                if settings.by_hand:  # the next one would need another offer
                    raise
                self._status.say(f"{name}a caller did not connect: {error}; waiting for the next")
                return None
            window = settings.window and not self._window_taken
            self._window_taken |= window
            camera = False if self._camera_taken else settings.virtual_camera
            self._camera_taken |= bool(camera)
            place = Place(
                self._numbered(settings.out, number), window, self._numbered(settings.report, number),
                self._numbered(settings.record, number), camera,
                self._stage if self._stage is not None and self._stage.call is None else None,
                settings.audio, settings.speaker or ("default" if window else None),
                self._numbered(settings.out_audio, number),
            )  # fmt: skip
            talk = Conversation(self._studio, peer, hello, place, lambda text: self._status.say(name + text))
            self._talking[name] = talk
            return await talk.run()
        finally:
            self._talking.pop(name, None)
            self._window_taken &= not window
            self._camera_taken &= not camera
            await peer.close()

    def _ended(self, call: Ended) -> None:
        self._serving.discard(call)
        if not call.cancelled():
            self._over.put_nowait(call)

    def _numbered(self, path: Path | None, number: int) -> Path | None:
        """`call.mp4` for one call at a time, `call-2.mp4` for the second of several."""
        if path is None or self._settings.calls == 1:
            return path
        return path.with_stem(f"{path.stem}-{number}")

    async def _watch(self) -> None:
        """Shows how all calls are doing."""
        while True:
            texts = [name + talk.look() for name, talk in self._talking.items()]
            if texts:
                self._status.show(" || ".join(texts), time.monotonic())
            await asyncio.sleep(_LOOK_SECONDS)
