"""Being reached through a router: the rendezvous server's own STUN server, for who has named none."""

from __future__ import annotations

import logging
import ssl
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp

from shared.link.ice import IceSettings
from shared.link.stun import seen_as
from shared.session.exchange import SignallingError
from shared.session.join_link import BY_HAND, RoomLink, parse_link, parse_server
from shared.session.rendezvous_wire import STUN_HEADER, VERSION, VERSION_HEADER

logger = logging.getLogger(__name__)

FIND_SECONDS = 5.0
"""For a rendezvous server to say which port its STUN server has. Being without one is no reason to wait for long."""


async def helped_by(server: str, ice: IceSettings, tls: ssl.SSLContext | None = None) -> IceSettings:
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


async def helped_by_link(peer: str, ice: IceSettings, tls: ssl.SSLContext | None = None) -> IceSettings:
    """The same for a join link; other links come with no server."""
    try:
        link = None if peer == BY_HAND else parse_link(peer)
    except SignallingError:
        return ice
    return await helped_by(link.server, ice, tls) if isinstance(link, RoomLink) else ice


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
