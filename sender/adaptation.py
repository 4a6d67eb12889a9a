"""How bundles and pictures follow the link: what the receiver's statistics and the sender's queue say.

One sign is used for each thing. Bundles that lately came later than the fastest (the median, so that single losses do
not matter) mean that something stands in a queue of the link: bundles then grow, which saves headers, and pictures
slow down. Bytes that wait on this side mean that the link takes nothing: then bundles wait, too, and the oldest
frames make room, so that what goes out in the end is new.
"""

from __future__ import annotations

from sender.profile import LARGEST_BUNDLE
from shared.codec.control import Stats
from shared.link.pacing import LATER_RATE

BUSY_MS = 200
"""Bundles this much behind: the link is full."""
CALM_MS = 60
"""Up to this much there is room. The piece of a picture that shares a bundle's packet costs 78 at 16 kbit/s."""
BACKLOG = 300
"""Bytes waiting on this side above which no bundle is added: about two of them."""
PICTURE_RATES = (400.0, 2000.0)
"""Bytes/s that pictures get at least and at most."""


class LinkAdaptation:
    """Judges the link at each message of statistics."""

    def __init__(self, bundle: int) -> None:
        """`bundle`: frames of a bundle on a good link."""
        self.bundle = bundle
        """Frames of a bundle now."""
        self.picture_rate = LATER_RATE
        """Bytes/s for pictures now."""
        self._usual = bundle

    def judge(self, statistics: Stats, loaded: bool) -> None:
        """Takes in what the receiver says; `loaded`: since it last did, most bundles had a piece of a picture along."""
        if statistics.behind_ms > BUSY_MS:
            self.bundle = min(self.bundle + 2, max(LARGEST_BUNDLE, self._usual))
            self.picture_rate = max(self.picture_rate / 2, PICTURE_RATES[0])
        elif statistics.behind_ms <= CALM_MS:
            self.bundle = max(self.bundle - 1, self._usual)
            if loaded:  # what a link carries that carries only motion is not known
                self.picture_rate = min(self.picture_rate * 1.5, PICTURE_RATES[1])
