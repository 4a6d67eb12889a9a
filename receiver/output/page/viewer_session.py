"""One viewer's WebSocket: the offer of its browser and its answer, and the indicators a few times a second.

The browser sends `{"offer": SDP}`, `{"making": true}` while it shows how the picture is made, `{"hearing": true}`
while its sound is on, and `{"react": 1}` to 6 where this side sends; it is sent `{"answer": SDP}`, `{"state": ...}` and
`{"sources": ..., "driving": ...}`, or an `{"error": sentence}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from receiver.output.page.view import WebView
from shared.reactions import LABELS
from shared.tasks import watched
from shared.transport.viewers import TooManyViewers, Viewer
from shared.transport.webrtc import BadDescription

FULL = 4001
"""Code with which a WebSocket is closed when too many watch."""
MISUSED = 4002
"""Code for a message that Pinhole's page would not send."""
STATE_SECONDS = 0.5
"""Between two sets of indicators, about 350 bytes each."""
MOTION_SECONDS = 0.1
"""Between two sets of keypoints, for who looks at how the picture is made: about 400 bytes each."""
_MOST_OFFERS = 1000
"""Per WebSocket; a page makes a new one when its connection breaks."""


class _Misuse(ValueError):
    """What came is not from the page; the text says what it was."""


async def serve_viewer(socket: web.WebSocketResponse, view: WebView, clock: Callable[[], float]) -> None:
    """Serves a viewer until its WebSocket closes; everything it took is free then."""
    try:
        viewer = view.viewers.join()
    except TooManyViewers as error:
        await socket.send_json({"error": str(error)})
        await socket.close(code=FULL)
        return
    session = _ViewerSession(socket, view, viewer, clock)
    telling = watched(session.tell(), "a viewer's page is not told any more")
    try:
        await session.listen()
    except _Misuse as error:
        await socket.send_json({"error": str(error)})
        await socket.close(code=MISUSED)
    finally:
        telling.cancel()
        try:
            await asyncio.gather(telling, return_exceptions=True)
        finally:
            await viewer.close()


class _ViewerSession:
    def __init__(
        self, socket: web.WebSocketResponse, view: WebView, viewer: Viewer, clock: Callable[[], float]
    ) -> None:
        self._socket, self._view, self._viewer, self._clock = socket, view, viewer, clock
        self._making = False
        self._sources: list[dict[str, Any]] | None = None
        self._offers = 0

    async def listen(self) -> None:
        """Takes what the browser sends. Raises _Misuse."""
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                await self._take(_decode(message.data))

    async def tell(self) -> None:
        """Sends what is new. One message is under way at a time, so that nothing piles up before a slow browser."""
        next_state = self._clock()
        with contextlib.suppress(ConnectionError):  # the browser is gone; `listen` ends too
            while not self._socket.closed:
                if self._clock() >= next_state:
                    next_state = self._clock() + STATE_SECONDS
                    await self._send({"state": self._view.state(self._clock())})
                if self._making and self._view.call is not None:
                    await self._send(self._made())
                await asyncio.sleep(MOTION_SECONDS if self._making else STATE_SECONDS)

    async def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"offer": str(offer)}:
                await self._answer(offer)
            case {"making": bool(making)}:
                self._making, self._sources = making, None
            case {"hearing": bool(hearing)}:
                self._viewer.hearing = hearing
            case {"react": int(number)} if number is not True and 1 <= number <= len(LABELS):
                self._view.react(number)
            case _:
                raise _Misuse("a message came that Pinhole's page does not send")

    async def _answer(self, offer: str) -> None:
        self._offers += 1
        if self._offers > _MOST_OFFERS:
            raise _Misuse("too many offers came over one connection")
        try:
            answer = await self._viewer.answer(offer)
        except BadDescription as error:
            raise _Misuse(str(error)) from error
        await self._send({"answer": answer})

    def _made(self) -> dict[str, Any]:
        """The keypoints of the frame on display; those of the sources only when they changed."""
        call = self._view.call
        assert call is not None
        message: dict[str, Any] = {"driving": call.driving()}
        sources = call.sources()
        if sources != self._sources:
            self._sources = sources
            message["sources"] = [each | {"url": f"source/{call.number}-{each['id']}.jpg"} for each in sources]
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send_str(json.dumps(message, separators=(",", ":")))


def _decode(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Misuse("a message came that is not JSON") from error
    if not isinstance(message, dict):
        raise _Misuse("a message came that is not a JSON object")
    return message
