"""One HTTP exchange before the call: hello and offer go one way, hello and answer come back.

The receiver serves `POST /join/TOKEN`; whoever has the URL may join.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

from shared.session.attempts import FailureLimit
from shared.session.exchange import (
    BODY_LIMIT,
    Answerer,
    OnOffer,
    Reply,
    SignallingError,
    read_answer,
    refusal,
    write_offer,
)
from shared.session.hello import Hello
from shared.session.join_link import DirectLink, is_token, parse_link
from shared.session.posting import post

TIME_LIMIT = 10.0
"""Seconds for a request to arrive, and for a receiver to answer."""


class CannotListen(OSError):
    """The address to listen on cannot be had. The text says why and what to do."""


class SignallingServer:
    """The receiver's end. `async with` starts and stops it."""

    def __init__(self, host: str, port: int, on_offer: OnOffer, *, token: str | None = None) -> None:
        """Port 0 takes any free one, no token makes a random one. Raises ValueError on a token unfit for a URL."""
        self.token = secrets.token_urlsafe(16) if token is None else token
        if not is_token(self.token):
            raise ValueError("a token is 1 to 64 letters, digits, - and _; leave it out to get a random one")
        self._host = host
        self._port = port
        self._answerer = Answerer(on_offer)
        self._failures = FailureLimit()
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_post("/join/{token}", self._join)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)  # an access log would hold the token

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        return int(self._runner.addresses[0][1]) if self._runner.addresses else self._port

    @property
    def join_url(self) -> str:
        """What the sender is given, once started."""
        return f"http://{shown_host(self._host)}:{self.port}/join/{self.token}"

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        await listen(self._runner, self._host, self._port)

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _join(self, request: web.Request) -> web.Response:
        now, address = asyncio.get_running_loop().time(), request.remote or ""
        if self._failures.blocked(address, now):
            return _response(refusal(429, "too many wrong tokens came from this address: wait a minute"))
        if not hmac.compare_digest(request.match_info["token"].encode(), self.token.encode()):
            self._failures.failed(address, now)
            return _response(refusal(403, "the token is not the receiver's: copy the whole join URL again"))
        try:
            async with asyncio.timeout(TIME_LIMIT):
                offer = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _response(refusal(413, f"the request is larger than {BODY_LIMIT} bytes"))
        except TimeoutError:
            return _response(refusal(400, "the request did not arrive in time"))
        return _response(await self._answerer.answer(offer))


async def join(url: str, hello: Hello, make_offer: Callable[[], Awaitable[str]]) -> tuple[Hello, str]:
    """The receiver's hello and SDP answer. The offer is made only once the URL looks right.

    Raises SignallingError, and whatever `make_offer` raises.
    """
    link = parse_link(url)
    if not isinstance(link, DirectLink):
        raise SignallingError(f"{link} is not the URL of a receiver, but of a room: join it there")
    offer = write_offer(hello, await make_offer())
    headers = {"Content-Type": "application/json"}
    posted = await post(link.url, offer, headers, place=link.place, who="the receiver", within=TIME_LIMIT)
    return read_answer(link.place, posted.body, hello)


async def listen(runner: web.AppRunner, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
    """Has a web application listen. Raises CannotListen."""
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
    except OSError as error:
        await runner.cleanup()
        raise cannot_listen(host, port, error) from error


def cannot_listen(host: str, port: int, error: OSError) -> CannotListen:
    """What to raise where a server's address cannot be had."""
    if error.errno == errno.EADDRINUSE:
        message = f"port {port} is in use by another program: choose another, or 0 for any"
    else:
        message = f"cannot listen on {host}:{port} ({error.strerror or error})"
    return CannotListen(error.errno, message)


def shown_host(host: str) -> str:
    """A listening host as it stands in a URL; this machine's own address where it listens on all."""
    host = _own_address() if host in ("", "0.0.0.0", "::") else host
    return f"[{host}]" if ":" in host else host


def _response(reply: Reply) -> web.Response:
    return web.json_response(reply.data, status=reply.status)


def _own_address() -> str:
    # Connecting a UDP socket sends nothing; it only makes the kernel choose the address it would send from.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
