"""Which STUN and TURN servers a connection may use; none by default."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

_STUN = re.compile(r"(?:stun:)?(?P<host>[^:@?/\s]+)(?::(?P<port>\d{1,5}))?")
_TURN = re.compile(
    r"(?P<scheme>turns?):(?P<user>[^:@]+):(?P<password>.+)@(?P<host>[^:@?/\s]+)(?::(?P<port>\d{1,5}))?"
    r"(?P<query>\?transport=(?:udp|tcp))?"
)


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
