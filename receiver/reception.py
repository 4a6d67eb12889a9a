"""Listens, and takes calls: one after the other, or several at a time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from receiver.call import Conversation, Place, ReceiverSettings, Studio
from receiver.display import DisplayError
from receiver.record import RecordError
from receiver.sinks import Sinks
from shared.link.base import LinkClosed
from shared.link.webrtc import BadDescription, Peer
from shared.models.registry import wire_hash
from shared.session.call import TooManyErrors
from shared.session.hello import Hello, check
from shared.session.signalling import Busy, SignallingServer
from shared.session.status import StatusLine

_LOOK_SECONDS = 0.1

Ended = asyncio.Task[dict[str, Any] | None]
"""A call that is over: its report, or nothing if the caller did not connect."""


class Receiver:
    """Listens, and takes as many calls at a time as the settings say."""

    def __init__(self, settings: ReceiverSettings, studio: Studio, status: StatusLine) -> None:
        self._settings, self._studio, self._status = settings, studio, status
        self._serving: set[Ended] = set()
        self._over: asyncio.Queue[Ended] = asyncio.Queue()
        self._talking: dict[str, Conversation] = {}
        self._answered = 0
        self._window_taken = False

    async def run(self) -> dict[str, Any]:
        """Serves until no call is left (with `keep`: until cancelled); the last one's report comes back.

        An error ends its own call; that of the last one is raised. Raises CannotListen, RecordError, DisplayError,
        LinkClosed, TooManyErrors.
        """
        settings = self._settings
        for number in range(1, settings.calls + 1):
            Sinks.check(self._numbered(settings.out, number), settings.window)
        async with SignallingServer(settings.host, settings.port, self._answer) as server:
            print(f"join with: python -m sender --peer {server.join_url}", flush=True)
            watching = asyncio.ensure_future(self._watch())
            try:
                while True:
                    report = self._outcome(await self._over.get())
                    if report is not None:
                        return report
                    if not self._serving:
                        self._status.say("waiting for the next call")
            finally:
                watching.cancel()
                for call in self._serving:
                    call.cancel()
                await asyncio.gather(watching, *self._serving, return_exceptions=True)

    def _outcome(self, call: Ended) -> dict[str, Any] | None:
        """The report of the last call, unless there are more to come. Raises what ended the last call."""
        keep, others = self._settings.keep, bool(self._serving)
        try:
            report = call.result()
        except (LinkClosed, TooManyErrors) as error:
            if not keep and not others:
                raise
            self._status.say(f"{call.get_name()}the call ended: {error}")
            return None
        except (RecordError, DisplayError) as error:
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
        peer = Peer(self._settings.ice)
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
        try:
            try:
                await peer.wait_open()
            except LinkClosed as error:
                self._status.say(f"{name}a caller did not connect: {error}; waiting for the next")
                return None
            window = settings.window and not self._window_taken
            self._window_taken |= window
            place = Place(self._numbered(settings.out, number), window, self._numbered(settings.report, number))
            talk = Conversation(self._studio, peer, hello, place, lambda text: self._status.say(name + text))
            self._talking[name] = talk
            return await talk.run()
        finally:
            self._talking.pop(name, None)
            self._window_taken &= not window
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
