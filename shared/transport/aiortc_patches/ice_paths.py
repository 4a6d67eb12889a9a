"""ICE paths that aioice leaves out or gives up: loopback, and those of a connection that takes minutes to be made.

While people carry offer and answer the paths must be kept alive.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from aioice import stun
from aioice.ice import CandidatePair

from shared.transport.aiortc_patches.private_state import has

CHECK_AGAIN = 3.0
"""Seconds after which a path that has not answered is tried anew; few enough that the other side need not wait."""
MAPPING_SECONDS = 15.0
"""Between packets that have a router keep the address it lent; the first routers forget after 30."""
_States = CandidatePair.State


def allow_loopback(connection: Any) -> None:
    """Have 127.0.0.1 offered where the machine has no other address: aioice leaves it out even then."""
    if not has(connection, "get_component_candidates", otherwise="no calls on a machine without a network"):
        return
    gather = connection.get_component_candidates

    async def with_loopback(component: int, addresses: list[str], **rest: Any) -> Any:
        return await gather(component=component, addresses=addresses or ["127.0.0.1"], **rest)

    connection.get_component_candidates = with_loopback


def keep_checking(connection: Any) -> None:
    """Has ICE try every path again and again until one opens or the connection is closed.

    aioice gives a path up after 63 s, with pauses of half a minute at the end.
    """
    needed = ("_check_periodic", "_check_list", "_check_list_done", "_check_list_maybe_fail", "check_state")
    if not has(connection, *needed, otherwise="the answer must be pasted within a minute"):
        return
    loop, check = asyncio.get_running_loop(), connection._check_periodic
    again, under_way = loop.time() + CHECK_AGAIN, set[Any]()

    def check_for_ever() -> bool:
        nonlocal again, under_way
        if connection._check_list_done:
            return False
        if loop.time() >= again:
            again = loop.time() + CHECK_AGAIN
            for pair in connection._check_list:
                if pair.state is _States.FAILED or (pair.state is _States.IN_PROGRESS and pair.task in under_way):
                    _begin_anew(connection, pair)
            under_way = {pair.task for pair in connection._check_list if pair.task is not None}
        check()
        return True

    connection._check_periodic = check_for_ever
    connection._check_list_maybe_fail = lambda: None


def _begin_anew(connection: Any, pair: Any) -> None:
    if pair.task is not None:
        pair.task.cancel()
        pair.task = None
    connection.check_state(pair, _States.WAITING)


async def keep_mapped(connection: Any) -> None:
    """Asks the STUN server now and then, until a path is open, so that the address told to the other side holds."""
    if not has(connection, "_protocols", "_nominated", "stun_server", otherwise="a router may forget this machine"):
        return
    loop = asyncio.get_running_loop()
    while connection.stun_server is not None and not connection._nominated:
        await asyncio.sleep(MAPPING_SECONDS)
        host, port = connection.stun_server
        try:
            found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
        except OSError:
            continue
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        for protocol in connection._protocols:
            candidate = protocol.local_candidate
            if candidate is not None and candidate.type == "host" and ":" not in candidate.host:
                protocol.send_stun(request, found[0][4])
