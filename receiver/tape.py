"""What a half tells of a call, for a recording that can be drawn again exactly."""

from __future__ import annotations

from typing import Protocol

from shared.link.base import Channel


class Tape(Protocol):
    """What a half tells about itself as it runs, in the order in which it happens."""

    def message(self, channel: Channel, data: bytes, now: float) -> None:
        """A message came."""

    def taken(self, source_id: int) -> None:
        """A source has come into the gallery."""

    def resumed(self, replaced: bool, skip: int, now: float) -> None:
        """The call goes on over a new connection, with a sender that was started again if it is `replaced`; frame
        numbers jump by `skip`."""

    def shown(self, number: int, most: int) -> None:
        """A frame was handed out to be drawn from at most so many sources."""
