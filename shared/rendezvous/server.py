"""A rendezvous server: where a sender and a receiver behind routers find each other."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import ssl
import time
from collections.abc import Callable
from typing import Self

from aiohttp import WSMsgType, web

from shared.rendezvous import CALLER_BYTES, HEARTBEAT, MESSAGE_LIMIT, SEALED_LIMIT, STUN_HEADER, VERSION, VERSION_HEADER
from shared.rendezvous.rooms import Limits, Refused, Room, Rooms, room_code
from shared.signalling.direct import listen, shown_host
from shared.signalling.limits import ConnectionLimiter, runner
from shared.tasks import one_line, watched

logger = logging.getLogger(__name__)
TIME_LIMIT = 10.0
"""Seconds for an offer to arrive."""
ANSWER_SECONDS = 20.0
"""For a receiver to answer; asking a STUN server that is not there takes it five."""
CONNECTIONS_EACH = 64
"""From one address, rooms included; a proxy may have all."""
CONNECTION_SECONDS = 40.0
"""Any connection but a waiting receiver's ends after this: an offer and its answer take less."""
SWEEP_SECONDS = 60.0
CLOSE_SECONDS = 2.0
"""For a receiver to agree that its room is closed."""


class _Gone(Exception):
    """The receiver has left its room."""


class _Host:
    """A receiver waiting in its room."""

    def __init__(self, room: Room, socket: web.WebSocketResponse) -> None:
        self.room = room
        self.socket = socket
        self._numbers = itertools.count()
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}

    async def ask(self, offer: bytes) -> bytes:
        """The receiver's answer to an offer. Raises _Gone."""
        caller = next(self._numbers).to_bytes(8, "big")[-CALLER_BYTES:]
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[caller] = answer
        try:
            await self.socket.send_bytes(caller + offer)
            return await answer
        except ConnectionError as error:
            raise _Gone from error
        finally:
            del self._waiting[caller]

    def answered(self, message: bytes) -> None:
        """Hands an answer to its caller; one that came too late, or for nobody, is dropped."""
        future = self._waiting.get(message[:CALLER_BYTES])
        if future is not None and not future.done():
            future.set_result(message[CALLER_BYTES:])

    def left(self) -> None:
        """Tells the callers that wait that nobody will answer."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_Gone())


class RendezvousServer:
    """The server. `async with` starts and stops it."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        behind_proxy: bool = False,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Port 0 takes any free one; `behind_proxy` believes the last address in X-Forwarded-For."""
        self.stun_port: int | None = None
        """UDP port of the STUN server on the same host, which both sides of a call are told; None: there is none."""
        self._host, self._port, self._tls, self._behind_proxy, self._clock = host, port, tls, behind_proxy, clock
        self._rooms = Rooms(limits)
        self._hosts: dict[str, _Host] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._ending = False
        app = web.Application(client_max_size=SEALED_LIMIT)
        app.router.add_get("/", self._about)
        app.router.add_get("/r/{room}", self._about)
        app.router.add_get("/open", self._open)
        app.router.add_post("/r/{room}", self._knock)
        self._runner = runner(app)
        most = 2 * (limits or Limits()).rooms
        self._limiter = ConnectionLimiter(most, most if behind_proxy else CONNECTIONS_EACH, CONNECTION_SECONDS)

    @property
    def port(self) -> int:
        """The TCP port listened on, once started."""
        return int(self._runner.addresses[0][1]) if self._runner.addresses else self._port

    @property
    def url(self) -> str:
        """What receivers are given, once started."""
        return f"{'https' if self._tls else 'http'}://{shown_host(self._host)}:{self.port}"

    async def __aenter__(self) -> Self:
        """Listens. Raises CannotListen."""
        await listen(self._runner, self._host, self._port, self._tls, self._limiter)
        self._sweeping = watched(self._sweep_often(), "rooms do not expire any more")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._ending = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        try:
            await asyncio.gather(*(host.socket.close() for host in list(self._hosts.values())), return_exceptions=True)
        finally:
            await self._runner.cleanup()

    async def sweep(self) -> None:
        """Ends the rooms that have expired."""
        for room in self._rooms.expire(self._clock()):
            host = self._hosts.get(room.code)
            if host is not None and host.room is room:
                await _say(host.socket, {"expired": "nobody called for long, and the room has expired"})
                await host.socket.close()

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except Exception as error:  # of one room's connection: the others are to expire all the same
                logger.error("a room could not be ended (%s)", one_line(error))

    async def _about(self, request: web.Request) -> web.Response:
        headers = {VERSION_HEADER: str(VERSION), "Referrer-Policy": "no-referrer"}
        return web.Response(
            text="This is a Pinhole rendezvous server. A join link is not for a browser: give it, whole, to\n"
            "    python -m sender --peer LINK\n",
            headers=headers if self.stun_port is None else headers | {STUN_HEADER: str(self.stun_port)},
        )

    async def _open(self, request: web.Request) -> web.StreamResponse:
        """A receiver opens a room and stays."""
        if "Origin" in request.headers:
            return _strange_page()
        if _other_version(request):
            return _update()
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if self._ending:
            return _refusal(503, "this rendezvous server is being stopped")
        if scheme != "Bearer" or not 16 <= len(secret) <= 64:
            return _refusal(400, "a room is opened with a secret")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, timeout=CLOSE_SECONDS, max_msg_size=MESSAGE_LIMIT, compress=False
        )
        await socket.prepare(request)
        self._limiter.keep(request.transport)
        try:
            room = self._rooms.open(room_code(secret), self._address(request), self._clock())
        except Refused as error:
            await _say(socket, {"error": str(error)})
            await socket.close()
            return socket
        before = self._hosts.get(room.code)
        host = self._hosts[room.code] = _Host(room, socket)
        if before is not None:
            before.left()
        try:
            await _say(socket, {"room": room.code, "version": VERSION})
            if before is not None:
                await before.socket.close()  # may take its time: that connection may be dead
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    host.answered(message.data)
        finally:
            self._rooms.close(room)
            if self._hosts.get(room.code) is host:
                del self._hosts[room.code]
            host.left()
        return socket

    async def _knock(self, request: web.Request) -> web.Response:
        """A sender makes an offer and waits for the answer."""
        if "Origin" in request.headers:
            return _strange_page()
        if _other_version(request):
            return _update()
        try:
            room = self._rooms.enter(request.match_info["room"], self._address(request), self._clock())
        except Refused as error:
            return _refusal(error.status, str(error))
        try:
            return await self._ask(self._hosts[room.code], request)
        finally:
            self._rooms.leave(room)

    async def _ask(self, host: _Host, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(TIME_LIMIT):
                offer = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _refusal(413, f"the offer is larger than {SEALED_LIMIT} bytes")
        except TimeoutError:
            return _refusal(400, "the offer did not arrive in time")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await host.ask(offer)
        except TimeoutError:
            return _refusal(504, f"the receiver did not answer within {ANSWER_SECONDS:g} s: is its machine asleep?")
        except _Gone:
            return _refusal(404, "the receiver left while it was asked: try again in a moment")
        headers = {VERSION_HEADER: str(VERSION), "Cache-Control": "no-store"}
        return web.Response(body=answer, content_type="application/octet-stream", headers=headers)

    def _address(self, request: web.Request) -> str:
        forwarded = request.headers.getall("X-Forwarded-For", []) if self._behind_proxy else []
        return forwarded[-1].rpartition(",")[2].strip() if forwarded else request.remote or ""


def _other_version(request: web.Request) -> bool:
    return request.headers.get(VERSION_HEADER) != str(VERSION)


def _strange_page() -> web.Response:
    return _refusal(403, "a web page cannot use a rendezvous server: use python -m sender or python -m receiver")


def _update() -> web.Response:
    return _refusal(426, f"this rendezvous server speaks version {VERSION} and the request another: update the older")


def _refusal(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status, headers={VERSION_HEADER: str(VERSION)})


async def _say(socket: web.WebSocketResponse, data: dict[str, str | int]) -> None:
    with contextlib.suppress(ConnectionError):  # a receiver that has gone is noticed where its messages are awaited
        await socket.send_json(data)
