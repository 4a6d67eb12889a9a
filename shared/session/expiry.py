"""The end of a join link that nobody used, although nobody comes with it."""

from __future__ import annotations

import asyncio

from shared.session.exchange import SignallingError
from shared.session.passes import Passes

LOOK_SECONDS = 30.0


async def expire(passes: Passes, look: float = LOOK_SECONDS) -> None:
    """Has a new link told for every one that was not used in time, until cancelled.

    Raises SignallingError when nobody can join any more, nor is in a call.
    """
    while True:
        await asyncio.sleep(look)
        passes.look()
        if passes.lapsed and not passes.calls:
            raise SignallingError(
                f"nobody called within {passes.lasts / 3600:g} hours, and the join link has expired: start the "
                "receiver again for a new link"
            )
