"""A STUN server beside the rendezvous server: both sides of a call learn how they can be reached through a router.

It answers binding requests only, keeps nothing, and answers nobody often: forged requests would make it send to others.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from shared.link.stun import binding_answer
from shared.session.attempts import FailureLimit
from shared.session.rooms import neighbourhood
from shared.session.signalling import cannot_listen

logger = logging.getLogger(__name__)

EACH_A_MINUTE = 120
"""Answers to one address. A call takes about two for each network a machine is in; a company may share an address."""
ALL_A_SECOND = 500
"""Answers to everybody: 0.24 Mbit/s with headers is the most that a flood of forged requests gets out of this."""


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
        self._asked = FailureLimit(each_a_minute, 60.0)
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
        self._asked.failed(place, now)
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
