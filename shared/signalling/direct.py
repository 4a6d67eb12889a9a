"""Direct signalling: one HTTP exchange before the call; hello and offer go one way, hello and answer come back."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import Self

import aiohttp
from aiohttp import web

from shared.signalling.hello import Hello
from shared.signalling.limits import ConnectionLimiter, RateLimiter, neighbourhood, open_site, runner
from shared.signalling.links import DirectLink, is_token, parse_link
from shared.signalling.offer_answer import (
    BODY_LIMIT,
    Answerer,
    OnOffer,
    Reply,
    SignallingError,
    read_answer,
    refusal,
    write_offer,
)
from shared.signalling.tokens import AccessTokens, TokenRejected

TIME_LIMIT = 10.0
"""Seconds for a request to arrive, and for a receiver to answer."""
REQUESTS = 60
"""From one address a minute, with the right token: who resumes a call over a bad network needs a few."""


@dataclass(frozen=True)
class Posted:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Cut off soon after `limit` bytes; longer than that means that it was too long."""


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    place: str,
    who: str,
    within: float,
    limit: int = BODY_LIMIT,
    tls: SSLContext | None = None,
) -> Posted:
    """The answer to a POST; redirects are not followed, and certificates are checked.

    `place` and `who` (the receiver, the rendezvous server) are for errors; `tls` says whom to trust, None: whom the
    system trusts. Raises SignallingError.
    """
    timeout = aiohttp.ClientTimeout(total=within)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                url, data=body, headers=headers, allow_redirects=False, ssl=True if tls is None else tls
            ) as response,
        ):
            answer = b""
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > limit:
                    break
            return Posted(response.status, response.headers.copy(), answer)
    except TimeoutError as error:
        raise SignallingError(f"{place} did not answer within {within:g} s: is {who} running?") from error
    except aiohttp.ClientError as error:
        raise SignallingError(unreachable(error, place, who)) from error


def unreachable(error: aiohttp.ClientError, place: str, who: str) -> str:
    """Why a request failed, and what to do."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {place} is not trusted: if it is your own, give it, or its authority's, with --ca"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"{place} does not speak HTTPS: check whether the link begins with http or https"
    if isinstance(error, aiohttp.ClientConnectionError):
        return f"cannot reach {place}: is {who} running, and a firewall open?"
    return f"{place} does not speak HTTP ({type(error).__name__}): check the URL"


class CannotListen(OSError):
    """The address to listen on cannot be had. The text says why and what to do."""


class SignallingServer:
    """The receiver's end. `async with` starts and stops it."""

    def __init__(
        self,
        host: str,
        port: int,
        on_offer: OnOffer,
        *,
        token: str | None = None,
        tokens: AccessTokens | None = None,
        tls: ssl.SSLContext | None = None,
        named: str | None = None,
    ) -> None:
        """Port 0 takes any free one, no token makes a random one. Raises ValueError on a token unfit for a URL.

        `tokens` has the token, and says which calls are resumed; without it any number of calls come by one token.
        `tls` makes it HTTPS; `named` is the host that the join URL then names.
        """
        if token is not None and not is_token(token):
            raise ValueError("a token is 1 to 64 letters, digits, - and _; leave it out to get a random one")
        self._tokens = tokens or AccessTokens(token)
        self._host = host
        self._port = port
        self._answerer = Answerer(on_offer)
        self._failures, self._requests, self._limiter = RateLimiter(), RateLimiter(REQUESTS), ConnectionLimiter()
        self._tls, self._named = tls, named
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_post("/join/{token}", self._join)
        self._runner = runner(app)

    @property
    def token(self) -> str:
        """What a new call is made with; empty if no further call is taken."""
        return self._tokens.invitation or ""

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        return int(self._runner.addresses[0][1]) if self._runner.addresses else self._port

    @property
    def join_url(self) -> str:
        """What the sender is given, once started."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{shown_host(self._named or self._host)}:{self.port}/join/{self.token}"

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        await listen(self._runner, self._host, self._port, self._tls, self._limiter)

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _join(self, request: web.Request) -> web.Response:
        now, address = asyncio.get_running_loop().time(), neighbourhood(request.remote or "")
        if "Origin" in request.headers:
            return _response(refusal(403, "a web page cannot join a call: use python -m sender --peer LINK"))
        if self._failures.blocked(address, now):
            return _response(refusal(429, "too many wrong tokens came from this address: wait a minute"))
        try:
            on_offer = self._tokens.find(request.match_info["token"])
        except TokenRejected as error:
            if error.status == 403:
                self._failures.record(address, now)
            return _response(refusal(error.status, str(error)))
        if self._requests.blocked(address, now):
            return _response(refusal(429, "too many requests came from this address: wait a minute"))
        self._requests.record(address, now)
        try:
            async with asyncio.timeout(TIME_LIMIT):
                offer = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _response(refusal(413, f"the request is larger than {BODY_LIMIT} bytes"))
        except TimeoutError:
            return _response(refusal(400, "the request did not arrive in time"))
        return _response(await self._answerer.answer(offer, on_offer))


async def join(
    url: str,
    hello: Hello,
    make_offer: Callable[[], Awaitable[str]],
    on_pass: Callable[[str], None] = lambda resume: None,
    tls: ssl.SSLContext | None = None,
) -> tuple[Hello, str]:
    """The receiver's hello and SDP answer. The offer is made only once the URL looks right.

    `on_pass` is told what resumes the call; `tls` says whom to trust, None: whom the system trusts. Raises
    SignallingError, and whatever `make_offer` raises.
    """
    link = parse_link(url)
    if not isinstance(link, DirectLink):
        raise SignallingError(f"{link} is not the URL of a receiver, but of a room: join it there")
    offer = write_offer(hello, await make_offer())
    headers = {"Content-Type": "application/json"}
    posted = await post(link.url, offer, headers, place=link.place, who="the receiver", within=TIME_LIMIT, tls=tls)
    return read_answer(link.place, posted.body, hello, on_pass)


async def listen(
    application: web.AppRunner,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    limiter: ConnectionLimiter | None = None,
) -> None:
    """Has a web application listen, behind a connection limiter. Raises CannotListen."""
    try:
        await open_site(application, host, port, tls, ConnectionLimiter() if limiter is None else limiter)
    except OSError as error:
        await application.cleanup()
        raise cannot_listen(host, port, error) from error


def cannot_listen(host: str, port: int, error: OSError, kind: str = "port") -> CannotListen:
    """What to raise where a server's address cannot be had."""
    if error.errno == errno.EADDRINUSE:
        message = f"{kind} {port} is in use by another program: choose another, or 0 for any"
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
