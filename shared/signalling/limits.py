"""Limits on strangers: how many connections, how long, how many wrong guesses, and from which web pages.

A connection that is not kept (`ConnectionLimiter.keep`) ends after a fixed time whatever it does, so that nobody holds
one by sending headers byte by byte, or by never reading an answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web

from shared.trust.certificate import is_address

HANDSHAKE_SECONDS = 10.0
"""For TLS."""
LINGER_SECONDS = 2.0
"""For what a refused request still sends, which is thrown away: closed at once, the other side might not see why."""
KEEP_ALIVE_SECONDS = 15.0
LONGEST_LINE = 2048
"""Bytes of a request's first line."""


class RateLimiter:
    """Remembers failures by address and says who has had too many lately. Times are seconds."""

    def __init__(self, allowed: int = 10, window: float = 60.0, remembered: int = 1000) -> None:
        self._allowed = allowed
        self._window = window
        self._remembered = remembered
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def record(self, address: str, now: float) -> None:
        """Note a failure; the address longest quiet is forgotten when there are too many addresses."""
        self._failures.setdefault(address, deque(maxlen=self._allowed)).append(now)
        self._failures.move_to_end(address)
        while len(self._failures) > self._remembered:
            self._failures.popitem(last=False)

    def blocked(self, address: str, now: float) -> bool:
        """Whether the last `allowed` failures of this address all lie within the window."""
        failures = self._failures.get(address)
        return failures is not None and len(failures) == self._allowed and now - failures[0] < self._window


def neighbourhood(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network that one IPv6 customer has at the least."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else parsed
    return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))


class ConnectionLimiter:
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

    def __init__(self, limiter: ConnectionLimiter, inner: asyncio.Protocol) -> None:
        self._limiter, self._inner = limiter, inner
        self._transport: asyncio.BaseTransport | None = None
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._address = transport, self._limiter.enter(transport)
        if self._address is not None:
            self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None and self._transport is not None:
            self._limiter.leave(self._transport, self._address)
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
    """Listens behind a connection limiter."""

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None, limiter: ConnectionLimiter
    ) -> None:
        super().__init__(runner, host, port, ssl_context=tls)
        self._guarding, self._address = limiter, (host, port)

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


async def open_site(
    run: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None, limiter: ConnectionLimiter
) -> None:
    """Has an application listen behind a connection limiter. Raises OSError."""
    await run.setup()
    await _Site(run, host, port, tls, limiter).start()


def foreign(origin: str | None, own: str) -> bool:
    """Whether a request's Origin is another than `own`, such as `http://127.0.0.1:8766`."""
    return origin is not None and origin.lower() != own.lower()


def rebound(host: str | None, configured: str) -> bool:
    """Whether a request's Host is a name that is none of this machine's. `configured`: what the server listens on."""
    try:
        name = urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:
        return True
    return not (is_address(name) or name in own_names(configured))


def own_names(configured: str) -> set[str]:
    """The names, in lower case, by which this machine may be called."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return {"localhost", configured.lower(), name, short, f"{short}.local"}
