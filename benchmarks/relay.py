"""A bad link in one process: a UDP relay between two peers that counts every packet; `line` says what it does to them.

Each peer is told that the other one lives at the relay, by rewriting the candidates of offer and answer.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, replace
from typing import Any, Self

from benchmarks.line import Conditions, Line
from shared.transport.aiortc_patches.byte_counting import UDP_HEADERS
from shared.transport.webrtc import Peer

_HOST_CANDIDATE = re.compile(r"(a=candidate:\S+ 1 udp \d+) ([\d.]+) (\d+) typ host", re.IGNORECASE)
Address = tuple[str, int]
__all__ = ["Conditions", "Count", "Relay", "Way"]


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
    """One direction: the socket that the peer at its beginning sends to, and the line behind it."""

    def __init__(self, conditions: Conditions, chance: random.Random) -> None:
        self.line: Line[bytes] = Line(conditions, chance)
        self.entered, self.left = Count(), Count()
        """What the peer at the beginning sent, and what the one at the end was given."""
        self.begin: Address | None = None
        """Of the peer that sends; learnt from its first packet unless it is set."""
        self.other_way: Way | None = None
        self._socket: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def conditions(self) -> Conditions:
        """What it does to packets; its fields may be set at any time."""
        return self.line.conditions

    def change(self, conditions: Conditions) -> None:
        """Other conditions hold from now on, also for what waits in the queue."""
        self.line.change(_now(), conditions)
        self._set_timer()

    def stall(self, seconds: float, *, lost: bool = False) -> None:
        """Nothing passes for so long; what comes meanwhile waits in the queue, or is `lost`."""
        self.line.stall(_now(), seconds, lost=lost)
        self._set_timer()

    @property
    def queueing(self) -> float:
        """Seconds that a packet entering now would wait for those before it."""
        return self.line.queueing(_now())

    async def open(self, host: str) -> Address:
        """Opens the socket at its beginning, in the place of an earlier one; where it is."""
        before = self._socket
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(host, 0))
        self._socket = transport
        if before is not None:
            before.close()
        address: Address = transport.get_extra_info("sockname")[:2]
        return address

    def close(self) -> None:
        """Closes the socket; what is under way is lost."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._socket.close()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.begin = self.begin or addr
        if addr != self.begin:  # another address of the same machine
            return
        size = UDP_HEADERS + len(data)
        self.entered.add(size)
        self.line.offer(data, size, _now())
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        at = self.line.next_time()
        self._timer = None if at is None else asyncio.get_running_loop().call_at(at, self._deliver)

    def _deliver(self) -> None:
        other = self.other_way
        for data in self.line.take(_now()):
            # The peer at the end hears from the very socket that it sends to.
            if other is not None and other.begin and other._socket and not other._socket.is_closing():
                self.left.add(UDP_HEADERS + len(data))
                other._socket.sendto(data, other.begin)
        self._set_timer()


def _now() -> float:
    return asyncio.get_running_loop().time()


class Relay:
    """A link between the peer that offers and the one that answers; `async with` closes its sockets."""

    def __init__(self, there: Conditions | None = None, back: Conditions | None = None, seed: int = 0) -> None:
        """`there`: away from the peer that offers; `back`: towards it."""
        chance = random.Random(seed)
        # Each way has a chance of its own: what one of them carries must not decide about the other.
        self.there = Way(there or Conditions(), random.Random(chance.random()))
        self.back = Way(back or Conditions(), random.Random(chance.random()))
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

    async def move_offering(self) -> None:
        """The offering peer has another address from now on, as after a router forgot it or it changed networks: the
        answering one hears it from there, and reaches nobody at the old one."""
        assert self.back._socket is not None
        await self.back.open(self.back._socket.get_extra_info("sockname")[0])

    def change(self, conditions: Conditions) -> None:
        """The same conditions both ways, from now on."""
        self.there.change(replace(conditions))
        self.back.change(replace(conditions))

    def stall(self, seconds: float, *, lost: bool = False) -> None:
        """Nothing passes either way for so long; what comes meanwhile waits in the queue, or is `lost`."""
        self.there.stall(seconds, lost=lost)
        self.back.stall(seconds, lost=lost)

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
