"""Private state of aiortc and aioice: whether what is changed there is still there.

Changes to aiortc and aioice that their public interfaces do not offer, each for one connection only.

One module a reason. Written against aiortc 1.16 and aioice 0.13. Every function looks first whether what it changes is
still there; where it is not, it says so in the log, changes nothing, and the call goes on with the library's own
behaviour.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Any

from aiortc import RTCPeerConnection

logger = logging.getLogger(__name__)
WRITTEN_FOR = {"aiortc": "1.16", "aioice": "0.13"}
"""The versions whose private state is changed here, in `economy` and in `patience`."""


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
