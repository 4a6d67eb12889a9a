"""What tests of verification share: somebody who talks, with an identity of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from shared.codec.control import Bye, Note, pack_control, unpack_control
from shared.transport.link import Channel, Fingerprints
from shared.trust.identity import Trust, TrustSettings
from shared.trust.verified import Verified

MONDAY = date(2025, 11, 3)
HELLO = pack_control(Note("hello"))


@dataclass
class Talker:
    """A half that says hello once on each channel, and goodbye."""

    heard: list[tuple[Channel, bytes]] = field(default_factory=list)
    said: bool = False
    peer_bye: str | None = None

    def receive(self, channel: Channel, data: bytes, now: float) -> None:
        if channel is Channel.CONTROL and isinstance(message := unpack_control(data), Bye):
            self.peer_bye = message.reason
        else:
            self.heard.append((channel, data))

    def tick(self, now: float, link_queued: int) -> list[tuple[Channel, bytes]]:
        first, self.said = not self.said, True
        return [(channel, HELLO) for channel in Channel] if first else []

    def finish(self, reason: str, now: float) -> list[tuple[Channel, bytes]]:
        return [(Channel.CONTROL, pack_control(Bye(reason)))]


class Person:
    """One side of a call, and what it was told."""

    def __init__(
        self,
        folder: Path,
        fingerprints: Callable[[], Fingerprints | None],
        *,
        offerer: bool,
        who: str | None = None,
        identity: bool = True,
    ) -> None:
        self.told: list[str] = []
        self.half = Talker()
        trust = Trust(TrustSettings(folder, identity, who))
        self.verified = Verified(
            self.half, fingerprints, trust, self.told.append, offerer=offerer, today=lambda: MONDAY
        )

    @property
    def alarmed(self) -> bool:
        """Whether this side was warned, and shown no words."""
        return bool(self.verified.warnings) and self.verified.words is None
