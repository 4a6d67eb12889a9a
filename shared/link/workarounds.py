"""Changes to aiortc and aioice that their public interfaces do not offer, each for one connection only.

Every function looks first whether what it changes is still there; where it is not, it says so in the log, changes
nothing, and the call goes on with the library's own behaviour. `tests/shared/link/test_patches_fit.py` knows more: the
signatures and states that the changes rely on, here, in `economy` and in `patience`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from aioice import stun
from aiortc import RTCPeerConnection

from shared.link.accounting import TrafficMeter, WireMeter

logger = logging.getLogger(__name__)

WRITTEN_FOR = {"aiortc": "1.16", "aioice": "0.13"}
"""The versions whose private state is changed here, in `economy` and in `patience`."""
CONSENT_INTERVAL = 12.0
"""Seconds between consent checks. RFC 7675 has 5, and lets consent expire after 30: two checks still fall within."""
CONSENT_SILENCE = 95.0
"""Seconds without any answer to a consent check after which the path counts as lost."""
UDP_HEADERS = 28
"""IPv4 20, UDP 8."""
TCP_HEADERS = 40
"""IPv4 20, TCP 20: a relay reached by TCP; acknowledgements are the kernel's and not seen."""
IPV6_EXTRA = 20

_CHECKS_KEPT = 32


def has(thing: Any, *names: str, otherwise: str) -> bool:
    """Whether `thing` has all these attributes; if not, the log says what that means for the call."""
    missing = [name for name in names if not hasattr(thing, name)]
    if missing:
        there = " with ".join(f"{library} {version(library)}" for library in WRITTEN_FOR)
        logger.warning(
            "%s has no %s any more: %s",
            there,
            ", ".join(f"{type(thing).__name__}.{name}" for name in missing),
            otherwise,
        )
    return not missing


def ice_connection(pc: RTCPeerConnection) -> Any | None:
    """The aioice connection below a peer connection with a data channel or media, or None if it cannot be reached."""
    carried: Any = pc.sctp or next((each.sender for each in pc.getTransceivers()), None)
    transport: Any = carried.transport.transport if carried else None
    if not has(transport, "_connection", otherwise="bytes are not counted and consent checks are aioice's own"):
        return None
    return transport._connection


def outbound_bytes(pc: RTCPeerConnection) -> int:
    """Bytes that SCTP has taken from the channels and not sent yet; bufferedAmount does not know of them."""
    return sum(len(chunk.user_data) for chunk in getattr(pc.sctp, "_outbound_queue", ()))


def allow_loopback(connection: Any) -> None:
    """Have 127.0.0.1 offered where the machine has no other address: aioice leaves it out even then."""
    if not has(connection, "get_component_candidates", otherwise="no calls on a machine without a network"):
        return
    gather = connection.get_component_candidates

    async def with_loopback(component: int, addresses: list[str], **rest: Any) -> Any:
        return await gather(component=component, addresses=addresses or ["127.0.0.1"], **rest)

    connection.get_component_candidates = with_loopback


def extend_consent(connection: Any, on_expired: Callable[[], None]) -> None:
    """Replace consent checks that give up after 0.5 s each and six misses, which end any call on a slow path.

    Here an answer counts whenever it comes, and the connection is closed after CONSENT_SILENCE without one, calling
    `on_expired` before. A check costs a request and a response, 212 bytes.
    """
    needed = ("query_consent", "build_request", "remote_password", "_nominated", "_query_consent_task", "close")
    if has(connection, *needed, otherwise="a path slower than 0.5 s will end the call"):
        connection.query_consent = lambda: _watch_consent(connection, on_expired)


@dataclass
class _ConsentCheck:
    """Stands in for a STUN transaction: no retransmission, no time limit."""

    transactions: dict[bytes, Any]
    transaction_id: bytes
    key: bytes
    on_answer: Callable[[], None]

    def response_received(self, message: stun.Message, addr: tuple[str, int]) -> None:
        if message.message_class == stun.Class.RESPONSE and message.check_message_integrity(self.key):
            self.forget()
            self.on_answer()

    def forget(self) -> None:
        self.transactions.pop(self.transaction_id, None)


async def _watch_consent(connection: Any, on_expired: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    key = connection.remote_password.encode()
    checks: deque[_ConsentCheck] = deque()
    heard = loop.time()

    def note() -> None:
        nonlocal heard
        heard = loop.time()

    while loop.time() - heard < CONSENT_SILENCE:
        await asyncio.sleep(CONSENT_INTERVAL * random.uniform(0.8, 1.2))
        for pair in connection._nominated.values():
            request = connection.build_request(pair, nominate=False)
            request.add_message_integrity(key)
            check = _ConsentCheck(pair.protocol.transactions, request.transaction_id, key, note)
            check.transactions[check.transaction_id] = check
            checks.append(check)
            pair.protocol.send_stun(request, pair.remote_addr)
        while len(checks) > _CHECKS_KEPT:
            checks.popleft().forget()
    on_expired()
    connection._query_consent_task = None  # or close() would cancel the task it runs in
    await connection.close()


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
