"""ICE: which STUN and TURN servers a connection may use, none by default; and STUN itself.

As far as it tells a machine how it is seen from outside: binding requests and their answers (RFC 8489).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import struct
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aioice import stun

_STUN = re.compile(r"(?:stun:)?(?P<host>[^:@?/\s]+)(?::(?P<port>\d{1,5}))?")
_TURN = re.compile(
    r"(?P<scheme>turns?):(?P<user>[^:@]+):(?P<password>.+)@(?P<host>[^:@?/\s]+)(?::(?P<port>\d{1,5}))?"
    r"(?P<query>\?transport=(?:udp|tcp))?"
)
REQUEST_LIMIT = 1280
"""Bytes; a request fits one packet on any path (RFC 8489, section 6.1)."""
ASK_SECONDS = (0.3, 0.6, 1.1)
"""How long to wait after each request: two seconds altogether, since this is before every call."""
_BINDING_REQUEST = b"\x00\x01"
_COOKIE = stun.COOKIE.to_bytes(4, "big")
_HEADER = 20
_UNDERSTOOD = {0x0006, 0x0008, 0x0024, 0x0025}
"""What may come along (USERNAME, MESSAGE-INTEGRITY, PRIORITY, USE-CANDIDATE) and changes nothing here."""
_OPTIONAL = 0x8000


@dataclass(frozen=True)
class TurnServer:
    """A relay and the account on it."""

    url: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class IceSettings:
    """Servers that help two machines to find a path. Nobody outside is contacted unless one is named."""

    stun: str | None = None
    """URL, `stun:host:port`."""
    turn: TurnServer | None = None
    relay_only: bool = False
    """Whether everything goes through the TURN server, so that neither side learns the other's address from us."""

    @property
    def advice(self) -> str:
        """What to do where no path to the other side is found, as the end of a sentence."""
        if self.turn is not None:
            return "the relay of --turn did not help either: check that both sides reach it"
        if self.stun is not None:
            return "a router or firewall lets nothing through directly, so name a relay with --turn"
        return "through routers, take --rendezvous or name a STUN server with --stun, or a relay with --turn"

    @staticmethod
    def parse(stun: str | None = None, turn: str | None = None, relay_only: bool = False) -> IceSettings:
        """Settings from what a user types: `host[:port]` or `stun:host[:port]`, and `turn:user:password@host[:port]`.

        `turns:` and `?transport=tcp` work too; reserved characters in user and password are percent-encoded.
        Raises ValueError on anything else, and where only a relay may be used but none is named.
        """
        if relay_only and not turn:
            raise ValueError("--relay-only needs a relay: name one with --turn")
        return IceSettings(_parse_stun(stun) if stun else None, _parse_turn(turn) if turn else None, relay_only)


def _parse_stun(text: str) -> str:
    match = _STUN.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a STUN server; write host:port, for example stun.example.org:3478")
    return f"stun:{match['host']}:{match['port'] or 3478}"


def _parse_turn(text: str) -> TurnServer:
    match = _TURN.fullmatch(text)
    if not match:
        raise ValueError("this is not a TURN server; write turn:user:password@host:port")  # the text holds a password
    port = match["port"] or (5349 if match["scheme"] == "turns" else 3478)
    url = f"{match['scheme']}:{match['host']}:{port}{match['query'] or ''}"
    return TurnServer(url, unquote(match["user"]), unquote(match["password"]))


def binding_answer(request: bytes, address: tuple[str, int]) -> bytes | None:
    """The answer to a binding request that came from `address`; None for anything else, which deserves none.

    A request that asks for what is not done here, such as an answer from elsewhere, is not answered either.
    """
    if not _HEADER <= len(request) <= REQUEST_LIMIT:
        return None
    if request[:2] != _BINDING_REQUEST or request[4:8] != _COOKIE:
        return None
    if int.from_bytes(request[2:4], "big") != len(request) - _HEADER or not _acceptable(request[_HEADER:]):
        return None
    address = _plain(address[0]), address[1]
    answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request[8:_HEADER], {"XOR-MAPPED-ADDRESS": address})
    return bytes(answer)


async def seen_as(host: str, port: int) -> tuple[str, int] | None:
    """Address and port of this machine as a STUN server sees them over IPv4; None if it does not answer in two seconds,
    or does not exist."""
    loop = asyncio.get_running_loop()
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    try:
        found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
        transport, asking = await loop.create_datagram_endpoint(
            lambda: _Asking(request.transaction_id), remote_addr=(str(found[0][4][0]), port)
        )
    except OSError:
        return None
    try:
        for seconds in ASK_SECONDS:
            transport.sendto(bytes(request))
            await asyncio.wait([asking.answer], timeout=seconds)
            if asking.answer.done():
                return asking.answer.result()
    finally:
        transport.close()
    return None


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, transaction: bytes) -> None:
        self._transaction = transaction
        self.answer: asyncio.Future[tuple[str, int] | None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        try:
            message = stun.parse_message(data)
        except Exception:  # anybody may send anything here, and aioice's parser does not say what it may raise
            return
        seen = message.attributes.get("XOR-MAPPED-ADDRESS")
        if message.transaction_id == self._transaction and seen is not None and not self.answer.done():
            self.answer.set_result((str(seen[0]), int(seen[1])))

    def error_received(self, exc: Exception) -> None:
        """Refused by the machine asked: nobody listens there. It may be asked again all the same."""


def _acceptable(attributes: bytes) -> bool:
    """Whether attributes are well-formed, and none of them must be understood but is not."""
    at = 0
    while at + 4 <= len(attributes):
        kind, length = struct.unpack_from(">HH", attributes, at)
        if kind < _OPTIONAL and kind not in _UNDERSTOOD:
            return False
        at += 4 + (length + 3) // 4 * 4
    return at == len(attributes)


def _plain(host: str) -> str:
    """An address without a zone, and IPv4 as such where it came to an IPv6 socket."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
