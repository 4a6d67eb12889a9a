"""The end of a join link that nobody used: it may lie about in a chat for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from shared.session.exchange import SignallingError
from shared.session.passes import Passes

INVITATION_SECONDS = 24 * 3600.0
"""By the clock on the wall, so that the night of a sleeping laptop counts; begun anew when the program is."""
LOOK_SECONDS = 30.0


async def expire(
    passes: Passes,
    seconds: float = INVITATION_SECONDS,
    *,
    clock: Callable[[], float] = time.time,
    look: float = LOOK_SECONDS,
) -> None:
    """Ends every invitation that was not used within so many seconds, until cancelled.

    Raises SignallingError when nobody can join any more, nor is in a call.
    """
    invitation, since = passes.invitation, clock()
    while True:
        await asyncio.sleep(look)
        if passes.invitation != invitation:
            invitation, since = passes.invitation, clock()
        elif invitation is not None and clock() - since >= seconds:
            passes.lapse()
            if passes.invitation is None and not passes.calls:
                raise SignallingError(
                    f"nobody called within {seconds / 3600:g} hours, and the join link has expired: start the receiver "
                    "again for a new link"
                )
