"""One HTTP exchange before the call: hello and offer go one way, hello and answer come back.

The receiver serves `POST /join/TOKEN`; whoever has the URL may join. Hellos are compared before anything is connected.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import json
import logging
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from shared.session.attempts import FailureLimit
from shared.session.hello import Hello, Incompatible, MalformedHello, check

logger = logging.getLogger(__name__)

BODY_LIMIT = 64 * 1024
"""Bytes of a request or an answer; a real one has about 3 KB."""
TIME_LIMIT = 10.0
"""Seconds for a request to arrive, and for a receiver to answer."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")

OnOffer = Callable[[Hello, str], Awaitable[tuple[Hello, str]]]
"""Takes the sender's hello and SDP, returns the receiver's. May raise Incompatible, Busy or ValueError."""


class Busy(Exception):
    """The receiver cannot take a call now. The text is what the caller is told."""


class CannotListen(OSError):
    """The address to listen on cannot be had. The text says why and what to do."""


class SignallingError(Exception):
    """Joining failed. The text is one sentence for the user."""


class SignallingServer:
    """The receiver's end. `async with` starts and stops it."""

    def __init__(self, host: str, port: int, on_offer: OnOffer, *, token: str | None = None) -> None:
        """Port 0 takes any free one, no token makes a random one. Raises ValueError on a token unfit for a URL."""
        self.token = secrets.token_urlsafe(16) if token is None else token
        if not _TOKEN.fullmatch(self.token):
            raise ValueError("a token is 1 to 64 letters, digits, - and _; leave it out to get a random one")
        self._host = host
        self._port = port
        self._on_offer = on_offer
        self._answering = False
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
        host = _own_address() if self._host in ("", "0.0.0.0", "::") else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/join/{self.token}"

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                message = f"port {self._port} is in use by another program: choose another, or 0 for any"
            else:
                message = f"cannot listen on {self._host}:{self._port} ({error.strerror or error})"
            raise CannotListen(error.errno, message) from error

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
            return _refusal(429, "too many wrong tokens came from this address: wait a minute")
        if not hmac.compare_digest(request.match_info["token"].encode(), self.token.encode()):
            self._failures.failed(address, now)
            return _refusal(403, "the token is not the receiver's: copy the whole join URL again")
        try:
            async with asyncio.timeout(TIME_LIMIT):
                hello, sdp = _parse(await request.read())
        except web.HTTPRequestEntityTooLarge:
            return _refusal(413, f"the request is larger than {BODY_LIMIT} bytes")
        except (ValueError, TimeoutError) as error:
            return _refusal(400, str(error) or "the request did not arrive in time")
        if self._answering:
            return _refusal(503, "the receiver is answering another call: try again in a moment")
        self._answering = True
        try:
            return await self._answer(hello, sdp)
        finally:
            self._answering = False

    async def _answer(self, hello: Hello, sdp: str) -> web.Response:
        try:
            mine, answer = await self._on_offer(hello, sdp)
        except Incompatible as error:
            return _refusal(409, str(error))
        except Busy as error:
            return _refusal(503, str(error) or "the receiver is in another call")
        except ValueError as error:
            return _refusal(400, str(error))
        except Exception:
            logger.exception("answering an offer failed")
            return _refusal(500, "the receiver failed to answer; its log says why")
        return web.json_response({"hello": mine.to_dict(), "sdp": answer})


async def join(url: str, hello: Hello, make_offer: Callable[[], Awaitable[str]]) -> tuple[Hello, str]:
    """The receiver's hello and SDP answer. The offer is made only once the URL looks right.

    Raises SignallingError, and whatever `make_offer` raises.
    """
    place = _place(url)
    body = {"hello": hello.to_dict(), "sdp": await make_offer()}
    try:
        status, answer = await _post(url.rstrip("/"), body)
    except TimeoutError as error:
        raise SignallingError(f"{place} did not answer within {TIME_LIMIT:g} s: is the receiver running?") from error
    except aiohttp.ClientConnectionError as error:
        raise SignallingError(f"cannot reach {place}: is the receiver running, and a firewall open?") from error
    except aiohttp.ClientError as error:
        raise SignallingError(f"{place} does not speak HTTP ({type(error).__name__}): check the URL") from error
    return _read_answer(place, status, answer, hello)


def _place(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        _, prefix, token = parts.path.rstrip("/").split("/")
    except ValueError:
        prefix = ""
    if prefix != "join" or not _TOKEN.fullmatch(token) or parts.scheme not in ("http", "https") or not parts.hostname:
        raise SignallingError(f"{_clean(url)} is not a Pinhole URL: expected http://HOST:PORT/join/TOKEN")
    return f"{parts.hostname}:{port}"


async def _post(url: str, body: dict[str, Any]) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=TIME_LIMIT)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, json=body, allow_redirects=False) as response,
    ):
        answer = b""
        async for chunk in response.content.iter_any():
            answer += chunk
            if len(answer) > BODY_LIMIT:
                break
        return response.status, answer


def _read_answer(place: str, status: int, answer: bytes, hello: Hello) -> tuple[Hello, str]:
    try:
        data = _decode(answer) if len(answer) <= BODY_LIMIT else None
    except ValueError:
        data = None
    if not isinstance(data, dict) or not ("error" in data if status != 200 else "hello" in data):
        raise SignallingError(f"what answers at {place} is not a Pinhole receiver: check the URL")
    if status != 200:
        raise SignallingError(f"the receiver refused: {_clean(str(data['error']))}")
    try:
        theirs, sdp = _hello_and_sdp(data)
        check(hello, theirs)
    except MalformedHello as error:
        raise SignallingError(f"the receiver's answer cannot be understood: {_clean(str(error))}") from error
    except Incompatible as error:
        raise SignallingError(str(error)) from error
    return theirs, sdp


def _parse(body: bytes) -> tuple[Hello, str]:
    return _hello_and_sdp(_decode(body))


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("the request is not JSON") from error


def _hello_and_sdp(data: Any) -> tuple[Hello, str]:
    if not isinstance(data, dict) or not isinstance(data.get("sdp"), str) or not data["sdp"]:
        raise MalformedHello("a JSON object with hello and sdp was expected")
    return Hello.from_dict(data.get("hello")), data["sdp"]


def _refusal(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


def _clean(text: str) -> str:
    # Text from the network goes to a terminal: no control characters, no pages.
    return "".join(c if c.isprintable() else " " for c in text[:300])


def _own_address() -> str:
    # Connecting a UDP socket sends nothing; it only makes the kernel choose the address it would send from.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
