"""What a server takes from strangers before it knows who they are: few connections each, and none for long.

A connection that is not kept (`Door.keep`) ends after a fixed time whatever it does, so that nobody holds one by
sending headers byte by byte, or by never reading an answer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from shared.session.rooms import neighbourhood

HANDSHAKE_SECONDS = 10.0
"""For TLS."""
LINGER_SECONDS = 2.0
"""For what a refused request still sends, which is thrown away: closed at once, the other side might not see why."""
KEEP_ALIVE_SECONDS = 15.0
LONGEST_LINE = 2048
"""Bytes of a request's first line."""


class Door:
    """Counts the connections of one server."""

    def __init__(self, most: int = 64, each: int = 16, seconds: float = 30.0) -> None:
        """`most` at a time, `each` from one address; one that is not kept is cut after so many seconds."""
        self.most, self.each, self.seconds = most, each, seconds
        self._open: Counter[str] = Counter()
        self._timers: dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    @property
    def open(self) -> int:
        """Connections."""
        return self._open.total()

    def enter(self, transport: asyncio.Transport) -> str | None:
        """The name under which a new connection is counted; None: it is cut, there are too many."""
        peer = transport.get_extra_info("peername")
        address = neighbourhood(str(peer[0])) if peer else ""
        if self.open >= self.most or self._open[address] >= self.each:
            transport.abort()
            return None
        self._open[address] += 1
        self._timers[transport] = asyncio.get_running_loop().call_later(self.seconds, transport.abort)
        return address

    def leave(self, transport: asyncio.BaseTransport, address: str) -> None:
        """The connection is gone."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]
        self.keep(transport)

    def keep(self, transport: asyncio.BaseTransport | None) -> None:
        """Lets a connection last: that of a WebSocket, which looks after itself."""
        timer = None if transport is None else self._timers.pop(transport, None)
        if timer is not None:
            timer.cancel()


class _Guarded(asyncio.Protocol):
    """Stands before the protocol of a connection."""

    def __init__(self, door: Door, inner: asyncio.Protocol) -> None:
        self._door, self._inner = door, inner
        self._transport: asyncio.BaseTransport | None = None
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._address = transport, self._door.enter(transport)
        if self._address is not None:
            self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None and self._transport is not None:
            self._door.leave(self._transport, self._address)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._address is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._address is not None else None

    def pause_writing(self) -> None:
        if self._address is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._address is not None:
            self._inner.resume_writing()


class _Site(web.TCPSite):
    """Listens behind a door."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None, door: Door) -> None:
        super().__init__(runner, host, port, ssl_context=tls)
        self._guarding, self._address = door, (host, port)

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await web.BaseSite.start(self)
        inner: Callable[[], asyncio.Protocol] | None = self._runner.server
        assert inner is not None
        make = inner
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Guarded(self._guarding, make()),
            *self._address,
            ssl=self._ssl_context,
            ssl_handshake_timeout=None if self._ssl_context is None else HANDSHAKE_SECONDS,
        )


def runner(app: web.Application) -> web.AppRunner:
    """What runs an application that strangers can reach. Nothing of a request is logged: it may hold a token."""
    return web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=1.0,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        lingering_time=LINGER_SECONDS,
        max_line_size=LONGEST_LINE,
        auto_decompress=False,  # a kilobyte could become a megabyte before its size is looked at
    )


async def open_site(run: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None, door: Door) -> None:
    """Has an application listen behind a door. Raises OSError."""
    await run.setup()
    await _Site(run, host, port, tls, door).start()
