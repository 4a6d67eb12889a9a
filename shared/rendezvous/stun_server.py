"""A STUN server beside the rendezvous server: both sides of a call learn how they can be reached through a router.

And how they find it: for who has named no other.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from shared.rendezvous import STUN_HEADER, VERSION, VERSION_HEADER
from shared.signalling.direct import cannot_listen
from shared.signalling.limits import RateLimiter, neighbourhood
from shared.signalling.links import BY_HAND, RoomLink, parse_link, parse_server
from shared.signalling.offer_answer import SignallingError
from shared.transport.ice import IceSettings, binding_answer, seen_as

logger = logging.getLogger(__name__)
EACH_A_MINUTE = 120
"""Answers to one address. A call takes about two for each network a machine is in; a company may share an address."""
ALL_A_SECOND = 500
"""Answers to everybody: 0.24 Mbit/s with headers is the most that a flood of forged requests gets out of this."""
FIND_SECONDS = 5.0
"""For a rendezvous server to say which port its STUN server has. Being without one is no reason to wait for long."""


class StunServer(asyncio.DatagramProtocol):
    """The server. `async with` starts and stops it."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        each_a_minute: int = EACH_A_MINUTE,
        all_a_second: int = ALL_A_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Port 0 takes any free one. A machine with several addresses has to name the one that it is reached by."""
        self._host, self._port, self._clock = host, port, clock
        self._asked = RateLimiter(each_a_minute, 60.0)
        self._most, self._second, self._answered = all_a_second, 0, 0
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def port(self) -> int:
        """The UDP port listened on, once started."""
        return self._port if self._transport is None else int(self._transport.get_extra_info("sockname")[1])

    async def __aenter__(self) -> Self:
        """Listens. Raises CannotListen."""
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(self._host, self._port))
        except OSError as error:
            raise cannot_listen(self._host, self._port, error, "UDP port") from error
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """asyncio's, when it listens."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """asyncio's, for every datagram."""
        answer = self.answer(data, (addr[0], addr[1]), self._clock())
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        """asyncio's, when somebody who asked is gone."""
        logger.debug("an answer could not be sent: %s", exc)

    def answer(self, data: bytes, address: tuple[str, int], now: float) -> bytes | None:
        """What `address` gets for a datagram at `now`; None for nothing."""
        answer = binding_answer(data, address)
        if answer is None:
            return None
        if int(now) != self._second:
            self._second, self._answered = int(now), 0
        place = neighbourhood(address[0])
        if self._answered >= self._most or self._asked.blocked(place, now):
            return None
        self._asked.record(place, now)
        self._answered += 1
        return answer


def add_stun_options(parser: argparse.ArgumentParser) -> None:
    """The options of a rendezvous server that say where its STUN server is."""
    stun = parser.add_mutually_exclusive_group()
    stun.add_argument("--stun", type=_address, metavar="HOST:PORT",
                      help="where the STUN server listens on UDP; a machine with several addresses names the one that "
                      "it is reached by (default: as --host and --port; on all addresses with --behind-proxy, since a "
                      "proxy passes none of this on)")  # fmt: skip
    stun.add_argument("--no-stun", action="store_true", help="no STUN server: both sides of a call have to name one")


@asynccontextmanager
async def stun_beside(args: argparse.Namespace, port: int) -> AsyncIterator[int | None]:
    """The UDP port of a STUN server as the options say, beside a server on this TCP port; None if there is to be none.

    Raises CannotListen.
    """
    if args.no_stun:
        yield None
        return
    async with StunServer(*(args.stun or ("0.0.0.0" if args.behind_proxy else args.host, port))) as server:
        yield server.port


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 0.0.0.0:3478")
    return host.strip("[]"), int(port)


async def with_stun_of(server: str, ice: IceSettings, tls: ssl.SSLContext | None = None) -> IceSettings:
    """The settings with the STUN server of a rendezvous server, `https://HOST`, where they name none.

    `tls` says whose certificates to trust; None: those that the system trusts. A STUN server that does not answer is
    left out, with a warning: waiting for it would take five seconds of every call.
    """
    if ice.stun is not None or ice.relay_only:
        return ice
    try:
        base, _ = parse_server(server)
        port = await _stun_port(base, tls)
    except (ValueError, TimeoutError, aiohttp.ClientError):
        return ice  # the way to the server itself says what is wrong
    host = urlsplit(base).hostname
    if port is None or host is None:
        return ice
    if ":" in host or await seen_as(host, port) is None:  # calls gather addresses outside over IPv4 alone
        logger.warning(
            "the rendezvous server's STUN server (UDP port %d) does not answer: without it a call finds no way "
            "through a router; name another with --stun, if UDP is let through at all",
            port,
        )
        return ice
    return replace(ice, stun=f"stun:{host}:{port}")


async def with_stun_of_link(peer: str, ice: IceSettings, tls: ssl.SSLContext | None = None) -> IceSettings:
    """The same for a join link; other links come with no server."""
    try:
        link = None if peer == BY_HAND else parse_link(peer)
    except SignallingError:
        return ice
    return await with_stun_of(link.server, ice, tls) if isinstance(link, RoomLink) else ice


async def _stun_port(base: str, tls: ssl.SSLContext | None) -> int | None:
    """The UDP port that the server names; None if it has none, or speaks another version. Raises ClientError and
    TimeoutError."""
    timeout, headers = aiohttp.ClientTimeout(total=FIND_SECONDS), {VERSION_HEADER: str(VERSION)}
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{base}/", headers=headers, allow_redirects=False, ssl=True if tls is None else tls) as response,
    ):
        named = response.headers.get(STUN_HEADER, "")
        ours = response.headers.get(VERSION_HEADER) == str(VERSION)
    return int(named) if ours and named.isascii() and named.isdecimal() and 0 < int(named) <= 65535 else None
