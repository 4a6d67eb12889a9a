"""SACK bundling: SACKs that wait a little and share a packet with data, and an early repair.

What the standards allow and aiortc 1.16 does not do: it acknowledges every packet by a packet of its own, which costs a
third of all bytes at a few messages a second. Any SCTP peer understands the result.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiortc import RTCPeerConnection

from shared.transport.aiortc_patches.private_state import has
from shared.transport.link import CHUNK_HEADER, MAX_USER_DATA

MAX_PACKETS = 2
"""A SACK for every second packet at least (RFC 9260, section 6.2)."""
MAX_DELAY = 0.45
"""Seconds that a SACK may wait. RFC 9260 advises 0.2 and forbids more than 0.5; aiortc repeats after 1 s at the
earliest. With 0.45 a bundle every 0.4 s still finds its predecessor's SACK waiting."""
logger = logging.getLogger(__name__)
ROOM = CHUNK_HEADER + MAX_USER_DATA
"""Bytes of chunks in a packet; aiortc's largest chunk fills it."""
REPORTS_SPARED = 1
"""Of the three reports of a gap after which a packet is sent again. With a packet every 0.2 s there are never four on
their way, and the third report comes late (early retransmit, RFC 5827). At 20 % loss a third fewer frames are late."""
_DATA, _SACK = 0, 3


class DelayedAck:
    """Decides when a SACK is due (RFC 9260, sections 6.2 and 6.7). Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self._packets = 0
        self._due: float | None = None
        self._incomplete = False

    @property
    def due(self) -> float | None:
        """When the SACK that waits must go at the latest; None if none waits."""
        return self._due

    def received(self, now: float, incomplete: bool) -> bool:
        """Notes a packet with data; True if a SACK is due at once.

        incomplete: data before it is missing, or it had come already. The other side must hear of that, and of the
        gap's end, without delay, or its repair waits.
        """
        urgent = incomplete or self._incomplete
        self._incomplete = incomplete
        self._packets += 1
        if self._due is None:
            self._due = now + MAX_DELAY
        return urgent or self._packets >= MAX_PACKETS

    def sent(self) -> None:
        """Notes that everything received so far has been acknowledged."""
        self._packets, self._due = 0, None


def share_packets(pc: RTCPeerConnection) -> None:
    """Delay SACKs, put chunks that are ready at the same moment into one packet, and repeat lost ones early."""
    needed = ("_send_chunk", "_send_sack", "_sack_needed", "_sack_misordered", "_sack_duplicates")
    if has(pc.sctp, *needed, otherwise="every chunk and every acknowledgement travels in a packet of its own"):
        SackBundling(pc.sctp)


class _Packet:
    """Several chunks where aiortc expects one."""

    def __init__(self, chunks: list[Any]) -> None:
        self._chunks = chunks

    def __bytes__(self) -> bytes:
        return b"".join(map(bytes, self._chunks))

    def __repr__(self) -> str:
        return " + ".join(map(repr, self._chunks))


class SackBundling:
    """Stands between an SCTP transport and its packets."""

    def __init__(self, sctp: Any) -> None:
        self._sctp = sctp
        self._send_alone, self._make_sack = sctp._send_chunk, sctp._send_sack
        self._acks = DelayedAck()
        self._waiting: list[Any] = []
        self._flush_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        sctp._send_chunk, sctp._send_sack = self._take_chunk, self._take_sack

    async def _take_chunk(self, chunk: Any) -> None:
        if chunk.type == _SACK:
            # The newest says it all; control chunks go before DATA (RFC 9260, section 6.10).
            self._waiting = [chunk, *(each for each in self._waiting if each.type != _SACK)]
        elif chunk.type == _DATA:
            if getattr(chunk, "_sent_count", 0) == 1 and getattr(chunk, "_misses", None) == 0:
                chunk._misses = REPORTS_SPARED
            self._waiting.append(chunk)
        else:
            await self._flush()
            await self._send_alone(chunk)
            return
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_soon)

    async def _take_sack(self) -> None:
        """Called by aiortc after each packet with data."""
        self._sctp._sack_needed = False
        incomplete = bool(self._sctp._sack_misordered or self._sctp._sack_duplicates)
        loop = asyncio.get_running_loop()
        if self._acks.received(loop.time(), incomplete):
            await self._acknowledge()
        elif self._timer is None and self._acks.due is not None:
            self._timer = loop.call_at(self._acks.due, self._timer_expired)

    async def _acknowledge(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._acks.sent()
        await self._make_sack()

    def _timer_expired(self) -> None:
        self._timer = None
        if self._sctp.state != "closed":
            asyncio.ensure_future(self._acknowledge()).add_done_callback(_failed)

    def _flush_soon(self) -> None:
        asyncio.ensure_future(self._flush()).add_done_callback(_failed)

    async def _flush(self) -> None:
        """Sends what waits, and with it a SACK that could wait longer."""
        self._flush_scheduled = False
        if not self._waiting:
            return
        if self._acks.due is not None:
            self._flush_scheduled = True  # the SACK's own call must not schedule another
            await self._acknowledge()
            self._flush_scheduled = False
        chunks, self._waiting = self._waiting, []
        for packet in _fill(chunks):
            await self._send_alone(packet if len(packet._chunks) > 1 else packet._chunks[0])


def _fill(chunks: list[Any]) -> list[_Packet]:
    """The chunks in as few packets as their order allows."""
    packets: list[list[Any]] = []
    room = 0
    for chunk in chunks:
        size = len(bytes(chunk))
        if size > room:
            packets.append([])
            room = ROOM
        packets[-1].append(chunk)
        room -= size
    return [_Packet(each) for each in packets]


def _failed(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ConnectionError):  # which only says that the call has just ended
        logger.error("sending failed", exc_info=error)
