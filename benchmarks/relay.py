"""A thin, slow or lossy link in one process: a UDP relay between two peers that counts every packet.

Each peer is told that the other one lives at the relay, by rewriting the candidates of offer and answer.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from dataclasses import dataclass
from typing import Any, Self

from shared.link.webrtc import Peer
from shared.link.workarounds import UDP_HEADERS

_HOST_CANDIDATE = re.compile(r"(a=candidate:\S+ 1 udp \d+) ([\d.]+) (\d+) typ host", re.IGNORECASE)
Address = tuple[str, int]


@dataclass
class Conditions:
    """What one direction does to packets; may be changed while it runs."""

    rate: float = float("inf")
    """bit/s, IPv4 and UDP headers counted."""
    delay: float = 0.0
    """Seconds from one end to the other, beside the time that the rate takes."""
    loss: float = 0.0
    """Share of packets lost, 0..1."""
    queue: int = 8000
    """Bytes that may wait for the rate; what comes beyond is lost."""


@dataclass
class Count:
    """Packets and bytes, IPv4 and UDP headers included."""

    packets: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """Count one packet."""
        self.packets += 1
        self.size += size


class Way(asyncio.DatagramProtocol):
    """One direction: the socket that the peer at its beginning sends to, a first-in first-out queue, and a line."""

    def __init__(self, conditions: Conditions, chance: random.Random) -> None:
        self.conditions = conditions
        self.entered, self.left = Count(), Count()
        """What the peer at the beginning sent, and what the one at the end was given."""
        self.begin: Address | None = None
        """Of the peer that sends; learnt from its first packet unless it is set."""
        self.other_way: Way | None = None
        self._chance = chance
        self._socket: asyncio.DatagramTransport | None = None
        self._free_at = 0.0
        self._flying: deque[bytes] = deque()

    async def open(self, host: str) -> Address:
        """Opens the socket at its beginning; where it is."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(host, 0))
        self._socket = transport
        address: Address = transport.get_extra_info("sockname")[:2]
        return address

    def close(self) -> None:
        """Closes the socket."""
        if self._socket is not None:
            self._socket.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.begin = self.begin or addr
        if addr != self.begin:  # another address of the same machine
            return
        loop = asyncio.get_running_loop()
        size, now, link = UDP_HEADERS + len(data), loop.time(), self.conditions
        self.entered.add(size)
        free_at = max(now, self._free_at)
        waiting = 0.0 if free_at == now else (free_at - now) * link.rate / 8
        if self._chance.random() < link.loss or waiting + size > link.queue:
            return
        self._free_at = free_at + 8 * size / link.rate
        # The loop may run timers of the same instant in any order, so each takes the oldest packet, not its own.
        self._flying.append(data)
        loop.call_at(self._free_at + link.delay, self._arrive)

    def _arrive(self) -> None:
        data, other = self._flying.popleft(), self.other_way
        # The peer at the end hears from the very socket that it sends to.
        if other is not None and other.begin and other._socket and not other._socket.is_closing():
            self.left.add(UDP_HEADERS + len(data))
            other._socket.sendto(data, other.begin)


class Relay:
    """A link between the peer that offers and the one that answers; `async with` closes its sockets."""

    def __init__(self, there: Conditions | None = None, back: Conditions | None = None, seed: int = 0) -> None:
        """`there`: away from the peer that offers; `back`: towards it."""
        chance = random.Random(seed)
        self.there, self.back = Way(there or Conditions(), chance), Way(back or Conditions(), chance)
        self.there.other_way, self.back.other_way = self.back, self.there

    async def connect(self, offering: Peer, answering: Peer) -> None:
        """Connects two peers through the relay. Raises LinkClosed if that fails."""
        answer = await answering.accept_offer(await self.offer(await offering.create_offer()))
        await offering.accept_answer(self.answer(answer))
        await asyncio.gather(offering.wait_open(), answering.wait_open())

    async def offer(self, sdp: str) -> str:
        """The offer as the answering peer must see it. Raises ValueError if it names no IPv4 address."""
        host, port = _host(sdp)
        self.there.begin = (host, port)
        self._entrance = await self.there.open(host)
        return _moved(sdp, await self.back.open(host))

    def answer(self, sdp: str) -> str:
        """The answer as the offering peer must see it. Raises ValueError if it names no IPv4 address."""
        _host(sdp)
        return _moved(sdp, self._entrance)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.there.close()
        self.back.close()


def _host(sdp: str) -> Address:
    found = _HOST_CANDIDATE.search(sdp)
    if found is None:
        raise ValueError("the description names no IPv4 address: the relay cannot stand in for it")
    return found[2], int(found[3])


def _moved(sdp: str, to: Address) -> str:
    """The description with one candidate only, at another place."""
    lines, kept = [], False
    for line in sdp.splitlines(keepends=True):
        if line.startswith("a=candidate:"):
            if kept or not _HOST_CANDIDATE.match(line):
                continue
            kept = True
            line = _HOST_CANDIDATE.sub(rf"\g<1> {to[0]} {to[1]} typ host", line)
        lines.append(line)
    return "".join(lines)
