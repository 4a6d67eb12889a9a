"""Byte counting: every datagram and every SCTP packet of a connection, as the network counts them."""

from __future__ import annotations

import asyncio
from typing import Any

from aiortc import RTCPeerConnection

from shared.transport.aiortc_patches.private_state import has
from shared.transport.metering import TrafficMeter, WireMeter

UDP_HEADERS = 28
"""IPv4 20, UDP 8."""
TCP_HEADERS = 40
"""IPv4 20, TCP 20: a relay reached by TCP; acknowledgements are the kernel's and not seen."""
IPV6_EXTRA = 20


def outbound_bytes(pc: RTCPeerConnection) -> int:
    """Bytes that SCTP has taken from the channels and not sent yet; bufferedAmount does not know of them."""
    return sum(len(chunk.user_data) for chunk in getattr(pc.sctp, "_outbound_queue", ()))


def count_datagrams(connection: Any, meter: WireMeter) -> None:
    """Have `meter` count every datagram of a connection, STUN and headers included, on all its sockets.

    Not seen: the few packets that set up a TURN allocation, before aioice knows it as a path.
    """
    if has(connection, "_protocols", otherwise="bytes on the wire are not counted"):
        connection._protocols = _CountedProtocols(meter)


class _CountedProtocols(list[Any]):
    """The sockets of a connection. aioice adds each before it is used, so this is where to count from the start."""

    def __init__(self, meter: WireMeter) -> None:
        super().__init__()
        self._meter = meter

    def append(self, protocol: Any) -> None:
        _count(protocol, self._meter)
        super().append(protocol)

    def __iadd__(self, protocols: Any) -> _CountedProtocols:  # type: ignore[override,misc]
        for protocol in protocols:
            self.append(protocol)
        return self


def _count(protocol: Any, meter: WireMeter) -> None:
    relay = getattr(protocol.transport, "_TurnTransport__inner_protocol", None)
    if relay is not None:
        _count_relay(relay, meter)
        return
    receive = protocol.datagram_received

    def received(data: bytes, addr: Any) -> None:
        meter.received.datagram(UDP_HEADERS + _ipv6_extra(addr), data)
        receive(data, addr)

    protocol.datagram_received = received
    protocol.transport = _CountedTransport(protocol.transport, meter.sent)


class _CountedTransport:
    """A datagram transport that counts what it sends."""

    def __init__(self, transport: asyncio.DatagramTransport, meter: TrafficMeter) -> None:
        self._transport = transport
        self._meter = meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def sendto(self, data: bytes, addr: Any = None) -> None:
        self._meter.datagram(UDP_HEADERS + _ipv6_extra(addr), data)
        self._transport.sendto(data, addr)


def _count_relay(relay: Any, meter: WireMeter) -> None:
    if not has(relay, "_send", "datagram_received", "transport", otherwise="relayed bytes are not counted"):
        return
    headers = (UDP_HEADERS if hasattr(relay.transport, "sendto") else TCP_HEADERS) + _ipv6_extra(
        relay.transport.get_extra_info("peername")
    )
    send, receive = relay._send, relay.datagram_received

    def sent(data: bytes) -> None:
        meter.sent.datagram(headers, data)
        send(data)

    def received(data: bytes, addr: Any) -> None:
        meter.received.datagram(headers, data)
        receive(data, addr)

    relay._send, relay.datagram_received = sent, received


def _ipv6_extra(addr: Any) -> int:
    return IPV6_EXTRA if addr and ":" in addr[0] else 0


def count_chunks(pc: RTCPeerConnection, meter: WireMeter) -> None:
    """Have `meter` see every SCTP packet, which tells what the bytes on the wire are for."""
    sctp: Any = pc.sctp
    needed = has(sctp, "_handle_data", otherwise="bytes on the wire are not told apart")
    if not needed or not has(sctp.transport, "_send_data", otherwise="bytes on the wire are not told apart"):
        return
    send, handle = sctp.transport._send_data, sctp._handle_data

    async def counted_send(data: bytes) -> None:
        meter.sent.sctp_packet(data)
        await send(data)

    async def counted_handle(data: bytes) -> None:
        meter.received.sctp_packet(data)
        await handle(data)

    sctp.transport._send_data, sctp._handle_data = counted_send, counted_handle
